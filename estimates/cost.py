"""The figures of one layer, and how they are put together."""

from dataclasses import dataclass
from math import ceil

from bitwright.estimates.parts import Cells

BRAM_BITS = 36
BRAM_DEPTH = 512
"""A block of 18 kbit holds 512 words of 36 bits (UG473, UG573)."""


@dataclass(frozen=True)
class LayerCost:
    """What one layer does and takes.

    Args:
        name: Of the layer.
        kind: Of the layer.
        strategy: Of hls4ml; empty where the layer has none.
        reuse_factor: That hls4ml takes; 0 where the layer has none.
        multiplications: Of one inference, those with a weight of 0 included.
        data_bits: Width of an input.
        weight_bits: Width of a weight; 0 where there is none.
        additions: Of one inference.
        weight_memory_bits: Of all constants.
        buffer_memory_bits: Of line buffers, windows and the FIFO behind the layer.
        cells: Of the device.
        latency_cycles: From the first input to the last output.
        initiation_interval_cycles: From one inference to the next.
        fill_cycles: From the first input to the first output.
    """

    name: str
    kind: str
    strategy: str
    reuse_factor: int
    multiplications: int
    data_bits: int
    weight_bits: int
    additions: int
    weight_memory_bits: int
    buffer_memory_bits: int
    cells: Cells
    latency_cycles: int
    initiation_interval_cycles: int
    fill_cycles: int


def memory_blocks(width: int, depth: int) -> int:
    """Return the 18-kbit blocks of a memory.

    >>> memory_blocks(256, 128)
    8
    """
    return ceil(width / BRAM_BITS) * ceil(depth / BRAM_DEPTH)


FIFO_SRL_BITS = 1024
"""A FIFO of more bits, a width of it, goes to block RAM in the reports."""


def fifo_cells(channels: int, bits: int, depth: int, backend: str) -> Cells:
    """Return what the FIFO behind a layer takes; hls4ml gives it a place for every position.

    Vitis pads a position to a power of two: 144 bits take the registers and blocks of 256. Vivado HLS has one FIFO for
    each channel. Source: the tables FIFO of two projects of `reported.PROJECTS`.

    >>> fifo_cells(9, 16, 130, "Vitis")
    Cells(lut=279.0, ff=540.0, dsp=0.0, bram_18k=8)
    """
    if backend == "Vivado":
        blocks = memory_blocks(bits, depth) if bits * depth > FIFO_SRL_BITS else 0
        return Cells(channels * (bits + 12.0), channels * 5.0, bram_18k=channels * blocks)
    width = 1 << (channels * bits - 1).bit_length()
    if depth == 1 or width * depth <= FIFO_SRL_BITS:
        return Cells(width + 23.0, 2.0 * width + 4)
    return Cells(width + 23.0, 2.0 * width + 4 + 3 * depth.bit_length(), bram_18k=memory_blocks(width, depth))


def stages(delay_ns: float, usable_ns: float) -> int:
    """Return the clocks that a chain of logic takes at least.

    >>> stages(6.2, 3.65)
    2
    """
    return max(1, ceil(delay_ns / usable_ns))
