"""What layers without a matrix of weights take."""

from math import ceil

from bitwright.estimates.cost import LayerCost, memory_blocks, stages
from bitwright.estimates.layers import Elementwise, Move, Pool
from bitwright.estimates.multipliers import comparison_lut
from bitwright.estimates.parts import Cells
from bitwright.estimates.settings import Settings

LOOP_CYCLES = 2
"""Clocks to enter and leave a loop: 128 positions of ReLU took 129, 130 of padding 132."""

LOOP_LUT, LOOP_FF = 55, 9
"""What counts and steers a loop: 52 and 58 LUT, 5 and 13 flip-flops in two layers of padding."""

TABLE_LUT_BITS = 1024
"""A table of more bits goes to block RAM."""


def elementwise_cost(layer: Elementwise, settings: Settings) -> LayerCost:
    """Return the figures of a layer that does the same to every value.

    In parallel it stands there for every value, in a stream for the channels of a position. Two values share the two
    ports of a table in block RAM; a LUT holds 64 bits of a small one.
    """
    values = layer.channels * (1 if settings.stream else layer.positions)
    depth = stages(settings.part.speed.add_ns * layer.depth_adders, settings.usable_ns)
    # In a stream of Vitis the FIFO behind keeps the results
    kept = values * layer.result_bits * (depth - (settings.stream and settings.target.backend == "Vitis"))
    cells = Cells(values * layer.lut_a_value, float(LOOP_FF + kept), values * layer.dsp_a_value)
    if layer.table_bits > TABLE_LUT_BITS:
        blocks = memory_blocks(layer.result_bits, layer.table_bits // layer.result_bits)
        cells += Cells(bram_18k=ceil(values / 2) * blocks)
    elif layer.table_bits:
        cells += Cells(lut=values * layer.table_bits / 64)
    latency, interval, fill = _cycles(layer.positions, depth, settings)
    return LayerCost(
        name=layer.name,
        kind=layer.kind,
        strategy="",
        reuse_factor=0,
        multiplications=layer.multiplications,
        data_bits=layer.result_bits,
        weight_bits=0,
        additions=layer.additions,
        weight_memory_bits=layer.constant_bits,
        buffer_memory_bits=0,
        cells=cells,
        latency_cycles=latency,
        initiation_interval_cycles=interval,
        fill_cycles=fill,
    )


def pool_cost(layer: Pool, settings: Settings) -> LayerCost:
    """Return the figures of max pooling: a comparison and a choice for each value of a window but the first.

    Source: hls4ml 1.3.0, `nnet_pooling.h`, `nnet_pooling_stream.h`; a stream keeps rows in shift registers.
    """
    values = layer.channels * (1 if settings.stream else layer.positions)
    lut = values * (layer.kernel - 1) * (comparison_lut(layer.bits) + layer.bits)
    lines = (layer.kernel_rows - 1) * layer.channels * layer.bits
    window = layer.kernel * layer.channels * layer.bits if settings.stream else 0
    cells = Cells(lut=lut, ff=float(values * layer.bits + window))
    if settings.stream:
        cells += Cells(lut=float(lines * ceil(layer.row_pixels / 32)))
    depth = stages(2 * settings.part.speed.add_ns * (layer.kernel - 1).bit_length(), settings.usable_ns)
    latency, interval, _ = _cycles(layer.pixels, depth, settings)
    fill = (layer.kernel_rows - 1) * layer.row_pixels + depth if settings.stream else depth
    held = window + lines * layer.row_pixels if settings.stream else 0
    return _plain(layer.name, "max pool", layer.bits, cells, held, (latency, interval, fill))


def move_cost(layer: Move, settings: Settings) -> LayerCost:
    """Return the figures of a layer that computes nothing: wires, or in a stream a copy of every position.

    Source: hls4ml 1.3.0, `nnet_padding_stream.h`: a loop for each row.
    """
    if not (settings.stream and layer.copies):
        return _plain(layer.name, layer.kind, layer.bits, Cells(), 0, (0, 0, 0))
    if layer.transfers_a_position > 1:  # value by value: a loop at every position
        cycles = layer.positions * (layer.transfers_a_position + 2 * LOOP_CYCLES)
    else:
        cycles = layer.positions + LOOP_CYCLES * layer.rows
    loops = 3 if layer.rows == 1 else 8
    cells = Cells(lut=float(LOOP_LUT * loops), ff=float(LOOP_FF * loops))
    return _plain(layer.name, layer.kind, layer.bits, cells, 0, (cycles, cycles, LOOP_CYCLES))


def _plain(name: str, kind: str, bits: int, cells: Cells, held: int, cycles: tuple[int, int, int]) -> LayerCost:
    latency, interval, fill = cycles
    return LayerCost(name, kind, "", 0, 0, bits, 0, 0, 0, held, cells, latency, interval, fill)


def _cycles(positions: int, depth: int, settings: Settings) -> tuple[int, int, int]:
    """Return latency, interval and fill, in clocks: in a stream a position a clock."""
    if not settings.stream:
        return depth, 1, depth
    return positions + depth, positions + depth - 1, depth
