"""The greedy descent: one bit less in the layer where it costs the least accuracy, as long as the target holds."""

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass

from bitwright.calibration.candidate import Candidate, Cost
from bitwright.calibration.moves import Move, narrower
from bitwright.quant.recipe import Recipe

Score = Callable[[Recipe], Candidate]


@dataclass(frozen=True)
class Step:
    """A move that was taken.

    Args:
        move: Which.
        candidate: After it.
    """

    move: Move
    candidate: Candidate


def descend(
    start: Recipe,
    score: Score,
    *,
    target: float,
    cost: Cost,
    removable: Collection[str] = (),
    binarisable: Collection[str] = (),
    taken: Callable[[Step], None] = lambda _: None,
) -> list[Step]:
    """Narrow one width after another while the accuracy is at least the target.

    A move is rated by the accuracy that it loses for what it saves. The rating of the last time orders the moves; only
    the first is tried again, and is taken if it is still the first: most layers' losses change little from step to
    step. A move below the target is not tried again.

    Args:
        start: Where to begin.
        score: Of a recipe.
        target: Least accuracy.
        cost: What is to become less.
        removable: Layers that may be left out.
        binarisable: Layers whose weights may have 1 bit.
        taken: Called with every step.

    Returns:
        The steps taken. Every move from the last one is below the target.
    """
    here = score(start)
    steps: list[Step] = []

    def moves(recipe: Recipe) -> list[Move]:
        return list(narrower(recipe, removable, binarisable))

    if here.accuracy < target:
        return steps
    more = True
    while more:  # what went too far may hold the target after other steps
        found = _pass(here, score, target=target, cost=cost, moves=moves, taken=taken)
        steps += found
        more = bool(found)
        here = found[-1].candidate if found else here
    return steps


def _pass(
    here: Candidate,
    score: Score,
    *,
    target: float,
    cost: Cost,
    moves: Callable[[Recipe], list[Move]],
    taken: Callable[[Step], None],
) -> list[Step]:
    """Take steps until every move has been refused once."""
    steps: list[Step] = []

    def rated(move: Move) -> tuple[float, Candidate]:
        there = score(move.apply(here.recipe))
        saved = max(here.cost(cost) - there.cost(cost), 1e-9)
        return (here.accuracy - there.accuracy) / saved, there

    order = [(rated(move)[0], number, move) for number, move in enumerate(moves(here.recipe))]
    heapq.heapify(order)
    number = len(order)
    while order:
        _, tie, move = heapq.heappop(order)
        rating, there = rated(move)
        if there.accuracy < target:
            continue
        if order and rating > order[0][0]:
            heapq.heappush(order, (rating, tie, move))
            continue
        here = there
        steps.append(Step(move, there))
        taken(steps[-1])
        possible = set(moves(here.recipe))
        number += 1
        order = [entry for entry in order if entry[2] in possible]
        order += [(rating, number, each) for each in possible if (each.layer, each.part) == (move.layer, move.part)]
        heapq.heapify(order)
    return steps
