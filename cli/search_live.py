"""The front of a search while it runs: a table that changes on a terminal, lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table

from bitwright.calibration.candidate import Candidate, Cost, front
from bitwright.cli.console import err, note
from bitwright.cli.search_chart import WORDS

ROWS = 10

Say = Callable[[str, list[Candidate]], None]


@contextmanager
def live_front(cost: Cost, target: float) -> Iterator[Say]:
    """Yield a function that takes what has just happened, and all candidates so far."""
    if not err.is_terminal:
        yield lambda text, _: note(text)
        return
    with Live(console=err, transient=True, refresh_per_second=4) as live:
        yield lambda text, candidates: live.update(front_table(text, front(candidates, cost), cost, target))


def front_table(caption: str, best: list[Candidate], cost: Cost, target: float) -> Table:
    """Return the end of a front that matters: the cheapest points that reach the target, and those just below it.

    Args:
        caption: What has just happened.
        best: The front, the cheapest first.
        cost: That it is of.
        target: Least accuracy.
    """
    table = Table(title="front so far", caption=caption, title_justify="left", caption_justify="left")
    for column in ("accuracy", WORDS[cost], "weights", "activations"):
        table.add_column(column, justify="right")
    first = next((i for i, each in enumerate(best) if each.accuracy >= target), len(best))
    start = max(0, min(first - 3, len(best) - ROWS))
    for each in best[start : start + ROWS]:
        own = each.recipe.layers.values()
        table.add_row(
            f"{each.accuracy:.2%}",
            f"{each.cost(cost):,.0f}",
            " ".join(str(layer.weight_bit_width) for layer in own),
            " ".join(str(layer.activation_bit_width) for layer in own if layer.activation_bit_width is not None),
            style="" if each.accuracy >= target else "dim",
        )
    return table
