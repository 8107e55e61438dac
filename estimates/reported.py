"""Three projects that Vivado HLS and Vitis HLS reported on: their layers, and the figures, read off by eye.

The reports are those of `../shared/reports` (not part of this repository); sizes, widths and weights are those of the
projects' public repositories, each named below. The cells of FIFOs count for the whole design alone.
"""

from dataclasses import dataclass

from bitwright.estimates.describe import CAST_LUT_PER_BIT
from bitwright.estimates.layers import Constants, Elementwise, Layer, Matrix, Move, Pool
from bitwright.hls.target import Target


@dataclass(frozen=True)
class Figures:
    """What C synthesis reported of a layer, or of the design; None where it says nothing.

    Args:
        lut: Look-up tables.
        ff: Flip-flops.
        dsp: DSP slices.
        bram_18k: Blocks of 18 kbit.
        latency_cycles: From first input to last output.
        initiation_interval_cycles: From one inference to the next.
    """

    lut: int
    ff: int
    dsp: int
    bram_18k: int
    latency_cycles: int
    initiation_interval_cycles: int


@dataclass(frozen=True)
class ReportedProject:
    """A project with its report.

    Args:
        name: Folder of the reports.
        tool: That wrote them.
        source: Where its layers stand.
        target: Of the project.
        layers: As the estimate takes them.
        reported: Figures by layer.
        whole: Figures of the design, without layers that are not estimated.
    """

    name: str
    tool: str
    source: str
    target: Target
    layers: tuple[Layer, ...]
    reported: dict[str, Figures]
    whole: Figures


def _relu(name: str, positions: int, channels: int) -> Elementwise:
    return Elementwise(name, "relu", positions, channels, 16, 16.0 * CAST_LUT_PER_BIT)


def _matrix(
    name: str, inputs: int, outputs: int, constants: Constants, positions: int = 1, pixels: int = 1, channels: int = 0
) -> Matrix:
    """Return a dense layer, or a convolution of one row, of 16-bit data, weights and sums."""
    return Matrix(
        name=name,
        kind="conv" if pixels > 1 else "dense",
        inputs=inputs,
        outputs=outputs,
        positions=positions,
        pixels=pixels,
        row_pixels=pixels,
        channels=channels or inputs,
        kernel_rows=1,
        data_bits=16,
        weight_bits=16,
        accumulator_bits=16,
        result_bits=16,
        arithmetic="multiply",
        bias=True,
        constants=constants,
    )


PADDING = ReportedProject(
    name="vivado-hls-2019.2-conv2d",
    tool="Vivado HLS 2019.2",
    source="YanLunHuang/hls4ml_layer, firmware/defines.h and parameters.h of its 56 x 11 x 4 version; its template "
    "nnet_padding_stream.h is changed: value by value, not position by position",
    target=Target(backend="Vivado", io_type="io_stream", part="xczu9eg-ffvb1156-2-e"),
    layers=(Move("zeropad2d", "padding", 58 * 13, 58, 4, 16, copies=True, transfers_a_position=4),),
    reported={"zeropad2d": Figures(465, 108, 0, 0, 6437, 6437)},
    whole=Figures(544, 116, 0, 0, 6437, 6438),
)

MLP = ReportedProject(
    name="vivado-hls-2020.1-mlp",
    tool="Vivado HLS 2020.1",
    source="fastmachinelearning/hls4ml, test/pytest/test_report.py: Dense(5) of 16 inputs, ap_fixed<16,6>. Its random "
    "weights are not at hand: the shares of their digits are those of Keras' initialisation, uniform to 0.53",
    target=Target(backend="Vivado", io_type="io_stream", part="xc7z020clg400-1"),
    layers=(_matrix("dense", 16, 5, Constants(0, 2, 10, 68)), _relu("relu", 1, 5)),
    reported={"dense": Figures(2134, 7860, 73, 0, 7, 7), "relu": Figures(256, 84, 0, 0, 2, 1)},
    whole=Figures(2532, 7969, 73, 0, 10, 8),
)

CONV1D = ReportedProject(
    name="vitis-hls-2024.1-conv1d",
    tool="Vitis HLS 2024.1",
    source="seanlipps/ECE226_CoDesign, model_1/hls4ml_prj/firmware: parameters.h, weights/w2.txt (7e287c2) and w6.txt "
    "(92c2823). Softmax is left to the host in Bitwright: its 572 LUT, 262 FF, 6 DSP, 5 BRAM are not counted",
    target=Target(backend="Vitis", io_type="io_stream", part="xcu250-figd2104-2L-e"),
    layers=(
        Move("padding", "padding", 130, 1, 9, 16, copies=True),
        _matrix("conv", 27, 16, Constants(0, 4, 45, 383), positions=128, pixels=130, channels=9),
        _relu("relu", 128, 16),
        # A running maximum over all positions
        Pool("global_pool", 2, 1, 1, 128, 128, 16, 16),
        _matrix("dense", 16, 6, Constants(0, 0, 5, 91)),
        # Stands for the softmax: the FIFO before it counts
        Move("softmax", "softmax", 1, 1, 6, 16),
    ),
    reported={
        "padding": Figures(157, 16, 0, 0, 132, 132),
        "conv": Figures(11_875, 3_097, 370, 0, 393, 390),
        "relu": Figures(692, 10, 0, 0, 129, 128),
        "global_pool": Figures(894, 528, 0, 0, 131, 131),
        "dense": Figures(2_505, 819, 91, 0, 2, 2),
    },
    whole=Figures(17_966 - 572, 7_123 - 262, 467 - 6, 29 - 5, 395, 390),
)

PROJECTS = (PADDING, MLP, CONV1D)
