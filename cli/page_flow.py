"""Where the network's boxes and edges stand: a box a row, edges that skip rows in lanes beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BOX_WIDTH, BOX_HEIGHT, GAP = 236, 42, 30
FIRST_LANE, LANE = 284, 14
MARGIN = 2


@dataclass(frozen=True)
class Box:
    """A layer.

    Args:
        index: In the program.
        y: Its upper side.
    """

    index: int
    y: int


@dataclass(frozen=True)
class Edge:
    """From one layer's box to another's.

    Args:
        source: Index of the layer whose result it carries.
        path: As SVG draws it.
        x: Where its words begin.
        y: Their base line.
        straight: Whether it leads to the next row.
    """

    source: int
    path: str
    x: int
    y: int
    straight: bool


@dataclass(frozen=True)
class Flow:
    """The drawing, and its size."""

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int


def flow(layers: Sequence[Mapping[str, Any]]) -> Flow:
    """Return the drawing of layers in the order of execution, each with its sources' names.

    >>> sources = {"x": [], "a": ["x"], "b": ["a", "x"]}
    >>> found = flow([{"name": name, "sources": names} for name, names in sources.items()])
    >>> [(edge.source, edge.straight) for edge in found.edges]
    [(0, True), (1, True), (0, False)]
    """
    rows = {layer["name"]: row for row, layer in enumerate(layers)}
    pairs = [(rows[source], row) for row, layer in enumerate(layers) for source in layer["sources"] if source in rows]
    lanes: list[list[tuple[int, int]]] = []
    edges = []
    for source, target in pairs:
        if target - source == 1:
            edges.append(_straight(source))
            continue
        free = next((i for i, taken in enumerate(lanes) if all(target < a or b < source for a, b in taken)), len(lanes))
        lanes += [[]] if free == len(lanes) else []
        lanes[free].append((source, target))
        edges.append(_beside(source, target, free))
    boxes = tuple(Box(row, _top(row)) for row in range(len(layers)))
    width = BOX_WIDTH + 2 * MARGIN if not lanes else FIRST_LANE + LANE * len(lanes)
    return Flow(boxes, tuple(edges), width, _top(len(layers)) - GAP + MARGIN)


def _top(row: int) -> int:
    return MARGIN + row * (BOX_HEIGHT + GAP)


def _straight(source: int) -> Edge:
    x, y = MARGIN + 24, _top(source) + BOX_HEIGHT
    return Edge(source, f"M{x},{y}v{GAP - 1}", x + 8, y + GAP // 2 + 4, straight=True)


def _beside(source: int, target: int, lane: int) -> Edge:
    """Leave the box at the right below its middle, and come back above the middle."""
    start, end = _top(source) + 30, _top(target) + 14
    right, x = MARGIN + BOX_WIDTH, FIRST_LANE + LANE * lane
    path = f"M{right},{start}H{x - 6}q6,0 6,6V{end - 6}q0,6 -6,6H{right + 1}"
    return Edge(source, path, right + 8, end - 4, straight=False)
