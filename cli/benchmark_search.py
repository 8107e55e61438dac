"""Measure how fast a search scores candidates: `python -m bitwright.cli.benchmark_search RUN`, side by side in one run.

The same recipes, on the same validation split: by the search's own scorer, which observes the float network once and
runs Brevitas' network; by a plain loop, which observes it again for each; and on the integer executor, which needs each
exported and lowered first.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from bitwright.calibration.candidate import CandidateFile
from bitwright.calibration.evaluate import scores
from bitwright.calibration.moves import uniform
from bitwright.calibration.post_training import prepare, quantize
from bitwright.calibration.scorer import Scorer
from bitwright.calibration.settings import Rounding
from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line, one_of, whole
from bitwright.cli.console import out
from bitwright.cli.search_lowering import check
from bitwright.cli.search_state import Search, begin
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.stage_calibrate import read_float
from bitwright.models.checkpoint import load
from bitwright.quant.recipe import Recipe


def recipes(search: Search, count: int) -> list[Recipe]:
    """Return random recipes of 2 to 8 bits, seed 1."""
    random = np.random.default_rng(1)
    found = []
    for _ in range(count):
        plain = uniform(search.layers, 8, 8, 8)
        layers = {
            name: own.model_copy(
                update={
                    "weight_bit_width": int(random.integers(2, 9)),
                    **({"activation_bit_width": int(random.integers(2, 9))} if own.activation_bit_width else {}),
                }
            )
            for name, own in plain.layers.items()
        }
        found.append(plain.model_copy(update={"layers": layers}))
    return found


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure, and print candidates a minute and the ratios."""
    parser = Parser(__file__, __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained float run")
    parser.add_argument("--count", type=whole(1), default=10, help="of recipes")
    parser.add_argument("--rounding", default="nearest", type=one_of(get_args(Rounding)), help="of the weights")
    options = parser.read(arguments)
    source = read_float(options.run, options.run.parent, ())
    search = begin(source, None, Wanted(rounding=options.rounding))
    observed, data = search.scorer.observed, search.data
    drawn = recipes(search, options.count)
    shape = observed.description.input_shape
    network, description = load(source.checkpoint)

    def again(recipe: Recipe) -> None:
        anew = prepare(network, description, observed.inputs, observed.settings)
        scores(quantize(anew, recipe)[0], data.validation, data.input_scale)

    def on_integers(recipe: Recipe) -> None:
        check(quantize(observed, recipe)[0], shape, data.validation, data.input_scale)

    with tempfile.TemporaryDirectory(prefix="bitwright-bench-") as scratch:
        file = CandidateFile(Path(scratch) / "candidates.jsonl", "bench")
        scorer = Scorer(observed, data.validation, data.input_scale, file)
        ways: dict[str, Callable[[Recipe], object]] = {
            "the search's scorer": scorer.score,
            "the same again, from its file": scorer.score,
            "a plain loop, observing each time": again,
            "lowered, on the integer executor (and compared)": on_integers,
        }
        first = 0.0
        for how, score in ways.items():
            started = time.perf_counter()
            for recipe in drawn:
                score(recipe)
            seconds = time.perf_counter() - started
            first = first or seconds
            out.print(
                f"{how}: {60 * len(drawn) / seconds:,.0f} candidates a minute, {seconds / first:.3g} times the time"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
