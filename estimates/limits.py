"""What the tools would refuse after long work, found before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from bitwright.estimates.layers import Layer, Matrix
from bitwright.estimates.reuse import legal_reuse_factors, nearest, neighbours
from bitwright.estimates.settings import Settings

MOST_ELEMENTS = 4096
"""Elements of an array that may be partitioned completely, as hls4ml's `build_prj.tcl` sets it (`maximum_size`), and
iterations that Vivado HLS unrolls. Sources: fastmachinelearning/hls4ml issues 1157 and 904."""

REMEDIES = {
    "mult": "set strategy Resource",
    "acc": "take fewer outputs",
    "data_buf": "take a smaller kernel or fewer channels",
    "kernel_data": "take a smaller kernel or fewer channels",
    "result": "set io_type io_stream",
}


@dataclass(frozen=True)
class Finding:
    """What stands in the way.

    Args:
        layer: Its name.
        kind: "reuse_factor": hls4ml takes another; "partition", "unroll": synthesis would end in an error.
        value: What was found: a factor, or elements.
        limit: The nearest legal factor, or the most elements.
        text: One line for people.
    """

    layer: str
    kind: Literal["reuse_factor", "partition", "unroll"]
    value: int
    limit: int
    text: str

    @property
    def stops(self) -> bool:
        """Whether synthesis would end in an error."""
        return self.kind != "reuse_factor"


def findings(layers: Sequence[Layer], settings: Settings) -> tuple[Finding, ...]:
    """Return all that stands in the way of a network in C synthesis."""
    return tuple(finding for layer in layers for finding in _layer_findings(layer, settings))


def _layer_findings(layer: Layer, settings: Settings) -> Iterator[Finding]:
    if isinstance(layer, Matrix):
        yield from _illegal_factor(layer, settings)
    for array, elements in _partitioned(layer, settings):
        if elements > MOST_ELEMENTS:
            depthwise = isinstance(layer, Matrix) and layer.kind == "depthwise"
            remedy = "take fewer channels" if depthwise and array == "mult" else REMEDIES[array]
            text = (
                f"{layer.name}: array {array} must have at most {MOST_ELEMENTS} elements to be partitioned completely, "
                f"not {elements}; {remedy}"
            )
            yield Finding(layer.name, "partition", elements, MOST_ELEMENTS, text)
    if isinstance(layer, Matrix) and settings.target.backend == "Vivado":
        yield from _unrolled(layer, settings)


def _illegal_factor(layer: Matrix, settings: Settings) -> Iterator[Finding]:
    if settings.strategy_of(layer.kind) == "Latency":
        return
    wanted, legal = settings.target.reuse_factor, legal_reuse_factors(layer)
    if wanted not in legal:
        taken = nearest(legal, wanted)
        beside = " or ".join(map(str, neighbours(legal, wanted)))
        text = (
            f"{layer.name}: reuse factor must be one that is legal for {layer.inputs} inputs and {layer.outputs} "
            f"outputs, {beside} next to it, not {wanted}; `bitwright hls` takes {taken}"
        )
        yield Finding(layer.name, "reuse_factor", wanted, taken, text)


def _partitioned(layer: Layer, settings: Settings) -> Iterator[tuple[str, int]]:
    """Yield the arrays that hls4ml's templates partition completely, with their elements.

    Source: hls4ml 1.3.0, `nnet_dense_latency.h` (mult, acc), `nnet_conv2d_latency.h` and `nnet_conv2d_resource.h`
    (data_buf, weights, acc), `nnet_depthwise_product.h`; in `io_parallel` also what goes from layer to layer.
    """
    if isinstance(layer, Matrix):
        if settings.strategy_of(layer.kind) == "Latency":
            yield "mult", layer.products
        if layer.kind != "dense":
            yield "kernel_data" if settings.stream else "data_buf", layer.inputs
        yield "acc", layer.outputs
    if not settings.stream:
        values = _values(layer)
        if isinstance(layer, Matrix) and values <= layer.outputs:
            return  # said of acc
        yield "result", values


def _values(layer: Layer) -> int:
    return layer.positions * (layer.outputs if isinstance(layer, Matrix) else layer.channels)


def _unrolled(layer: Matrix, settings: Settings) -> Iterator[Finding]:
    if settings.strategy_of(layer.kind) == "Latency":
        return  # said of mult
    legal = legal_reuse_factors(layer)
    block = ceil(layer.products / nearest(legal, settings.target.reuse_factor))
    if block > MOST_ELEMENTS:
        enough = next((factor for factor in legal if layer.products / factor <= MOST_ELEMENTS), None)
        remedy = f"set a reuse factor of {enough} or more" if enough else "take backend Vitis"
        text = f"{layer.name}: loop MultLoop must unroll to at most {MOST_ELEMENTS} products, not {block}; {remedy}"
        yield Finding(layer.name, "unroll", block, MOST_ELEMENTS, text)
