"""Random networks in a test: the same ones on every call, until a number of them was compared."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from brevitas_networks import BrevitasNetwork
from fuzz_tally import Tally
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import HypothesisProvider
from levels import Case, Verdict, crash, examine
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from random_graphs import RandomGraph

from bitwright.export.torch_level import run_torch
from bitwright.hls.target import Target

TARGETS = tuple(
    Target.model_validate(
        {
            "io_type": io_type,
            "backend": backend,
            "strategy": strategy,
            "reuse_factor": 1 if strategy == "Latency" else 4,
        }
    )
    for io_type, backend, strategy in (
        ("io_parallel", "Vitis", "Latency"),
        ("io_stream", "Vitis", "Latency"),
        ("io_parallel", "Vivado", "Resource"),
        ("io_stream", "Vivado", "Resource"),
        ("io_stream", "Vitis", "Resource"),
        ("io_parallel", "Vivado", "Latency"),
    )
)
"""That the C simulations take in turn."""

Drawn = BrevitasNetwork | RandomGraph
"""A network of either source."""


def make_case(drawn: Drawn, count: int) -> Case:
    """Return a drawn network with its inputs, and PyTorch's outputs."""
    values = drawn.inputs(count)
    if isinstance(drawn, RandomGraph):
        return Case(repr(drawn), drawn.model(), values)
    outputs = run_torch(drawn.module, values).reshape(len(values), -1)
    return Case(repr(drawn), drawn.qonnx(), values, outputs, exact=drawn.is_exact)


def look_at(drawn: Drawn, target: Target | None, inputs: int, folder: Path) -> tuple[Case, Verdict]:
    """Make a case and examine it; that it cannot be made is a finding too."""
    try:
        case = make_case(drawn, inputs)
    except Exception as error:  # noqa: BLE001 - a crash is what is looked for
        nothing = ModelWrapper(helper.make_model(helper.make_graph([], "nothing", [], [])))
        return Case(repr(drawn), nothing, drawn.inputs(1)), crash(error)
    return case, examine(case, target, folder)


def source_of(drawn: Drawn) -> str:
    """Return who wrote the network's graph."""
    return "Brevitas" if isinstance(drawn, BrevitasNetwork) else "QONNX"


@contextlib.contextmanager
def drawn_alike() -> Iterator[None]:
    """Let a seed draw the same networks whatever else is imported.

    Hypothesis also draws integers that it finds in the project's own modules, of those that are imported so far.
    """
    with mock.patch.object(HypothesisProvider, "_maybe_draw_constant", return_value=None):
        yield


def check(
    strategy: st.SearchStrategy[Drawn],
    count: int,
    *,
    seed: int = 0,
    targets: Sequence[Target] = (),
    inputs: int = 24,
) -> Tally:
    """Examine the same networks on every call, until a number of them was lowered and compared.

    Args:
        strategy: Draws a network.
        count: Of those that are not refused; Hypothesis draws none twice.
        seed: Another one draws others, but for the first: that is the simplest.
        targets: That the C simulations take in turn; none, to leave them out.
        inputs: Of each network.

    Returns:
        What became of them.

    Raises:
        AssertionError: At the first finding: the verdict, and the smallest network that shows it.
    """
    tally = Tally()
    target: Target | None = None

    @seeded(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(strategy)
    def compare(drawn: Drawn) -> None:
        nonlocal target
        if targets and not tally.findings:  # what makes a finding smaller keeps to its target
            target = targets[tally.lowered % len(targets)]
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            _, verdict = look_at(drawn, target, inputs, Path(folder))
        tally.add(source_of(drawn), verdict, target)
        assert not verdict.is_finding, f"{verdict.result}: {verdict.where}\n{drawn!r}\n{verdict.detail}"
        assume(verdict.result != "refused")

    with drawn_alike():
        compare()
    assert tally.lowered == count, f"{count} networks must be compared, not {tally.lowered}"
    return tally
