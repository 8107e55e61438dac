"""Where the names of points stand in a chart, so that none covers another or a point."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEIGHT, CHARACTER = 12.0, 5.7
"""Of the text, in the units of the SVG, at a font of 11 px; the width is that of most characters or more."""

NEAR = 8.0
"""So far from its point a label stands without a line to it."""

DISTANCES = (8.0, 20.0, 34.0, 50.0, 68.0, 88.0, 110.0)
DIRECTIONS = ((1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1), (0, -1), (0, 1))


@dataclass(frozen=True)
class Box:
    """A rectangle, from its upper left to its lower right."""

    left: float
    top: float
    right: float
    bottom: float

    def common(self, other: "Box") -> float:
        """Return the area that two have in common.

        >>> Box(0, 0, 2, 2).common(Box(1, 1, 3, 3)), Box(0, 0, 1, 1).common(Box(1, 0, 2, 1))
        (1, 0)
        """
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0

    def beyond(self, other: "Box") -> float:
        """Return how far it reaches out of another."""
        over = (other.left - self.left, other.top - self.top, self.right - other.right, self.bottom - other.bottom)
        return sum(max(0.0, each) for each in over)


@dataclass(frozen=True)
class Label:
    """A name.

    Args:
        text: What it says.
        x: Where it begins.
        y: Of its base line.
        line: Path to its point; empty where it stands beside it.
    """

    text: str
    x: float
    y: float
    line: str


def place(texts: Sequence[str], points: Sequence[Box], frame: Box) -> list[Label]:
    """Return a label for each point, at the first place that is free; where none is, at the one that covers least.

    Args:
        texts: The names.
        points: What each point covers.
        frame: Where labels may stand.
    """
    taken = list(points)
    found = []
    for text, point in zip(texts, points, strict=True):
        best = min(_places(text, point), key=lambda each: _cost(each[0], taken, frame))
        taken.append(best[0])
        found.append(_label(text, point, *best))
    return found


def _places(text: str, point: Box) -> Iterator[tuple[Box, bool]]:
    """Yield boxes for a label, the nearest first, and whether each is near."""
    width = CHARACTER * len(text)
    x, y = (point.left + point.right) / 2, (point.top + point.bottom) / 2
    for distance in DISTANCES:
        for across, down in DIRECTIONS:
            left = x + (distance if across > 0 else -distance - width if across < 0 else -width / 2)
            top = y - HEIGHT / 2 + down * max(distance, 11.0)
            yield Box(left, top, left + width, top + HEIGHT), distance <= NEAR


def _cost(box: Box, taken: Sequence[Box], frame: Box) -> float:
    return sum(box.common(other) for other in taken) + 100.0 * box.beyond(frame)


def _label(text: str, point: Box, box: Box, near: bool) -> Label:
    x, y = (point.left + point.right) / 2, (point.top + point.bottom) / 2
    end = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    line = "" if near else f"M{x:.4g},{y:.4g}L{end[0]:.4g},{end[1]:.4g}"
    return Label(text, round(box.left, 1), round(box.bottom - 2.5, 1), line)
