"""The estimate of a network: its layers, and what they come to together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bitwright.estimates.cost import LayerCost, fifo_cells
from bitwright.estimates.cost_matrix import matrix_cost
from bitwright.estimates.cost_plain import elementwise_cost, move_cost, pool_cost
from bitwright.estimates.layers import Elementwise, Layer, Matrix, Move, Pool
from bitwright.estimates.limits import Finding, findings
from bitwright.estimates.parts import Cells
from bitwright.estimates.settings import Settings


@dataclass(frozen=True)
class NetworkEstimate:
    """What a network would cost.

    Args:
        settings: What for.
        layers: One cost a layer, in order.
        findings: What synthesis would refuse, and factors that hls4ml would change.
        pipeline: hls4ml's style of the top function: "pipeline" or "dataflow".
    """

    settings: Settings
    layers: tuple[LayerCost, ...]
    findings: tuple[Finding, ...]
    pipeline: str

    @cached_property
    def cells(self) -> Cells:
        """Of all layers."""
        return sum((layer.cells for layer in self.layers), Cells())

    @cached_property
    def shares(self) -> dict[str, float]:
        """Of the device, by kind of cell."""
        return self.cells.shares(self.settings.part.cells)

    @property
    def fits(self) -> bool:
        """Whether the device holds it."""
        return max(self.shares.values()) <= 1

    @property
    def stops(self) -> bool:
        """Whether synthesis would end in an error."""
        return any(finding.stops for finding in self.findings)

    @property
    def latency_cycles(self) -> int:
        """From the first input to the last output: in a stream the slowest layer's, and until the others have begun."""
        if not self.settings.stream:
            return sum(layer.latency_cycles for layer in self.layers)
        slowest = max(self.layers, key=lambda layer: layer.latency_cycles)
        return slowest.latency_cycles + sum(layer.fill_cycles for layer in self.layers if layer is not slowest)

    @property
    def initiation_interval_cycles(self) -> int:
        """From one inference to the next: the slowest layer's."""
        return max(1, *(layer.initiation_interval_cycles for layer in self.layers))

    @property
    def latency_ns(self) -> float:
        """At the clock that is asked for."""
        return self.latency_cycles * self.settings.target.clock_period_ns

    @property
    def rate_mhz(self) -> float:
        """Inferences in a microsecond, at the clock that is asked for."""
        return 1000 / (self.initiation_interval_cycles * self.settings.target.clock_period_ns)


def estimate(layers: Sequence[Layer], settings: Settings) -> NetworkEstimate:
    """Return the estimate of a network."""
    costs = [layer_cost(layer, settings) for layer in layers]
    if settings.stream:  # the last layer writes to a port
        costs[:-1] = [_with_fifo(layer, cost, settings) for layer, cost in zip(layers[:-1], costs[:-1], strict=True)]
    return NetworkEstimate(settings, tuple(costs), findings(layers, settings), _pipeline(layers, settings))


def layer_cost(layer: Layer, settings: Settings) -> LayerCost:
    """Return the cost of a layer without the FIFO behind it."""
    match layer:
        case Matrix():
            return matrix_cost(layer, settings)
        case Elementwise():
            return elementwise_cost(layer, settings)
        case Pool():
            return pool_cost(layer, settings)
        case Move():
            return move_cost(layer, settings)


def _with_fifo(layer: Layer, cost: LayerCost, settings: Settings) -> LayerCost:
    """Return a layer's cost with the FIFO behind it; wires have none."""
    match layer:
        case Matrix():
            channels, bits, depth = layer.outputs, layer.result_bits, layer.positions
        case Elementwise():
            channels, bits, depth = layer.channels, layer.result_bits, layer.positions
        case Pool() | Move():
            channels, bits, depth = layer.channels, layer.bits, layer.positions
    if isinstance(layer, Move) and not layer.copies:
        return cost
    cells = cost.cells + fifo_cells(channels, bits, depth, settings.target.backend)
    held = cost.buffer_memory_bits + channels * bits * depth
    return replace(cost, cells=cells, buffer_memory_bits=held)


def _pipeline(layers: Sequence[Layer], settings: Settings) -> str:
    """Return the style that hls4ml chooses. Source: hls4ml 1.3.0, `backends/vivado/passes/pipeline_style.py`."""
    matrices = [layer for layer in layers if isinstance(layer, Matrix)]
    convolves = any(layer.kind != "dense" and layer.positions > 1 for layer in matrices)
    serial = settings.target.strategy == "Resource" and bool(matrices)
    return "dataflow" if settings.stream or convolves or serial else "pipeline"
