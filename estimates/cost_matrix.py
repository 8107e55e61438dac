"""What dense layers and convolutions take, by hls4ml's strategy and reuse factor."""

from math import ceil, log2

from bitwright.estimates.cost import LayerCost, memory_blocks, stages
from bitwright.estimates.layers import Matrix
from bitwright.estimates.multipliers import adder_lut, product_cells
from bitwright.estimates.parts import Cells
from bitwright.estimates.reuse import legal_reuse_factors, nearest
from bitwright.estimates.settings import Settings

REGISTERED = {"Vitis": 0.35, "Vivado": 1.0}
"""Share of the bits of all products that C synthesis keeps from each clock of a pipeline to the next: Vitis 2024.1 0.33
and 0.36 in two layers; Vivado 2020.1 about all, in one."""

STREAM_CYCLES = 2
"""Clocks to read a position and to write one."""


def matrix_cost(layer: Matrix, settings: Settings) -> LayerCost:
    """Return the figures of a layer that multiplies by weights.

    Latency, in `nnet_dense_latency.h`: all products at once where the reuse factor is 1, `multiplier_limit` of those
    that are multiplications otherwise; then a tree of additions. A new input every `reuse_factor` clocks.

    Resource, in `nnet_dense_resource.h`: `block_factor` = products / reuse factor multipliers; weights in memory, one
    word a clock; each output's sum in a register. A new input when the last is done.

    A convolution does so at every position: of `io_stream`, at every input position that comes (`nnet_conv_stream.h`);
    of `io_parallel`, one after the other (`nnet_conv2d_latency.h`, `nnet_conv2d_resource.h`).
    """
    strategy = settings.strategy_of(layer.kind)
    factor = settings.target.reuse_factor
    if strategy == "Resource":
        factor = nearest(legal_reuse_factors(layer), factor)
    logic = _latency(layer, settings, factor) if strategy == "Latency" else _resource(layer, settings, factor)
    depth = _depth(layer, settings, factor)
    at_position = depth if strategy == "Latency" else factor + depth
    interval = factor if strategy == "Latency" else at_position
    latency, whole, fill = _cycles(layer, settings, at_position, interval)
    cells, buffers = logic + Cells(ff=float(layer.inputs * layer.data_bits)), 0
    if settings.stream:
        more, buffers = _stream(layer)
        cells += more
    return LayerCost(
        name=layer.name,
        kind=layer.kind,
        strategy=strategy,
        reuse_factor=factor,
        multiplications=layer.multiplications,
        data_bits=layer.data_bits,
        weight_bits=layer.weight_bits,
        additions=layer.additions,
        weight_memory_bits=layer.products * layer.weight_bits,
        buffer_memory_bits=buffers,
        cells=cells,
        latency_cycles=latency,
        initiation_interval_cycles=whole,
        fill_cycles=fill,
    )


def _depth(layer: Matrix, settings: Settings, factor: int) -> int:
    """Return the clocks from the inputs of a position to its outputs: a product, and a tree of additions."""
    speed = settings.part.speed
    product = speed.multiply_ns if layer.arithmetic == "multiply" else 0.0
    strategy = settings.strategy_of(layer.kind)
    summed = layer.taps if strategy == "Latency" else max(1, layer.taps // factor)
    return stages(product + speed.add_ns * ceil(log2(summed + 1)), settings.usable_ns)


def _latency(layer: Matrix, settings: Settings, factor: int) -> Cells:
    """Return the logic of the strategy Latency: products with constants, and their sums.

    A weight of one or two signed digits takes no multiplier: 91 of 96 products of 16 bits took a DSP in the report
    whose weights are at hand, and 91 of those weights have three digits or more.
    """
    counts = layer.constants
    lut = _adder_tree_lut(layer)
    multiplier = Cells()
    if layer.arithmetic == "multiply":
        lut += counts.one_adder * adder_lut(layer.data_bits + layer.weight_bits)
        used = min(counts.other, ceil(layer.products / factor))
        one = product_cells(layer.data_bits, layer.weight_bits, settings.part.speed)
        multiplier = Cells(lut=used * one.lut, dsp=used * one.dsp)
    kept = _depth(layer, settings, factor) - (settings.target.backend == "Vitis")
    bits = 1 if layer.arithmetic == "xnor" else layer.accumulator_bits
    registers = REGISTERED[settings.target.backend] * kept * (layer.products - counts.zero) * bits
    registers += layer.outputs * layer.accumulator_bits
    return multiplier + Cells(lut=lut, ff=registers)


def _adder_tree_lut(layer: Matrix) -> float:
    """Return the LUT of the additions of one position.

    Each is as wide as the accumulator, which the products are cast to; of 1-bit products as wide as what it counts.
    """
    if layer.arithmetic != "xnor":
        return layer.additions_at_position * float(adder_lut(layer.accumulator_bits))
    whole, left, bits = 0.0, layer.taps, 2
    while left > 1:
        whole += left // 2 * adder_lut(bits)
        left, bits = ceil(left / 2), bits + 1
    return layer.outputs * whole


def _resource(layer: Matrix, settings: Settings, factor: int) -> Cells:
    """Return the logic of the strategy Resource, and its weights' memory."""
    multipliers = ceil(layer.products / factor)
    bits = layer.accumulator_bits
    match layer.arithmetic:
        case "multiply":
            one = product_cells(layer.data_bits, layer.weight_bits, settings.part.speed)
        case "xnor":
            one = Cells(lut=1)
        case "weight_sign" | "ternary":
            one = Cells(lut=layer.data_bits)
        case "data_sign":
            one = Cells(lut=layer.weight_bits)
    # Each multiplier reads one of so many inputs: a LUT of six inputs chooses among four bits
    choice = layer.data_bits * ceil((factor - 1) / 3) if factor > 1 else 0
    lut = multipliers * (one.lut + adder_lut(bits)) + max(1, layer.inputs // factor) * choice
    registers = layer.outputs * bits + multipliers * (layer.data_bits + layer.weight_bits)
    blocks = memory_blocks(multipliers * layer.weight_bits, factor) if factor > 1 else 0
    return Cells(lut, registers, multipliers * one.dsp, blocks)


def _cycles(layer: Matrix, settings: Settings, at_position: int, interval: int) -> tuple[int, int, int]:
    """Return latency, interval and fill, in clocks."""
    if layer.kind == "dense":
        if not settings.stream:
            return at_position, interval, at_position
        latency = layer.pixels + at_position  # `data_prepare` reads position by position
        return latency, max(interval, latency), latency
    if not settings.stream:
        whole = layer.positions * interval + (at_position - interval if at_position > interval else 0)
        return whole, whole if layer.positions > 1 else interval, at_position
    one = _pixel_interval(layer, settings, at_position, interval)
    first = (layer.kernel_rows - 1) * layer.row_pixels + 1
    return layer.pixels * one + STREAM_CYCLES + 1, layer.pixels * one, first * one + STREAM_CYCLES


def _pixel_interval(layer: Matrix, settings: Settings, at_position: int, interval: int) -> int:
    """Return the clocks between two input positions of a streaming convolution.

    Vitis 2024.1 lets none overlap: the window of `compute_output_buffer_1d` is static, and 3 clocks were reported where
    1 was asked for. Vivado's were not at hand and are taken at their word.
    """
    if settings.strategy_of(layer.kind) == "Latency" and settings.target.backend == "Vivado":
        return interval
    return max(interval, at_position + 1)


def _stream(layer: Matrix) -> tuple[Cells, int]:
    """Return window and line buffers, and the bits they hold.

    A line buffer is a shift register: a LUT holds 32 bits of it (UG474). The window's inputs take a choice each.
    """
    window = layer.inputs * layer.data_bits if layer.kind != "dense" else 0
    wires = (layer.kernel_rows - 1) * layer.data_bits * layer.channels
    return Cells(lut=float(window + wires * ceil(layer.row_pixels / 32))), window + wires * layer.row_pixels
