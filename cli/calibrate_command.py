"""The command line of `calibrate`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.cli.arguments import DataDir, FloatNetwork, Overrides, RunsDir
from bitwright.cli.page_command import write_and_say

MethodName = Literal["min_max", "moving_average", "percentile", "mse", "entropy"]
USUAL = CalibrationSettings()


def calibrate(
    source: FloatNetwork,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    weight_bit_width: Annotated[int, typer.Option(min=2, max=16, help="Bits of the weights.")] = 8,
    activation_bit_width: Annotated[int, typer.Option(min=2, max=16, help="Bits of the activations.")] = 8,
    input_bit_width: Annotated[int, typer.Option(min=2, max=16, help="Bits of the network's input.")] = 8,
    method: Annotated[
        MethodName,
        typer.Option(
            help="How an activation's range is found: the range of all values, the moving average of the batches', "
            "a percentile, the least squared error, or the least loss of entropy (KL)."
        ),
    ] = USUAL.method,
    weight_method: Annotated[MethodName, typer.Option(help="How the range of a layer's weights is.")] = (
        USUAL.weight_method
    ),
    percentile: Annotated[float, typer.Option(help="Percent of the values kept by method percentile.")] = (
        USUAL.percentile
    ),
    samples: Annotated[int, typer.Option(help="Inputs of the training set to calibrate on.")] = USUAL.samples,
    rounding: Annotated[
        Rounding,
        typer.Option(
            help="Of the weights: each to the nearest, a layer's together (GPTQ, GPFQ), or up or down as is learned "
            "(AdaRound), in minutes."
        ),
    ] = USUAL.rounding,
    fold: Annotated[bool, typer.Option(help="Fold batch norms into the layers before them.")] = USUAL.fold,
    equalize: Annotated[bool, typer.Option(help="Make the ranges of neighbouring layers alike first.")] = (
        USUAL.equalize
    ),
    correct_bias: Annotated[bool, typer.Option(help="Take the mean error of each channel off its bias.")] = (
        USUAL.correct_bias
    ),
    name: Annotated[
        str | None, typer.Option(help="Of the new run.", show_default="the float run's, with the widths behind it")
    ] = None,
) -> None:
    """Turn a trained float network into a fixed-point one, without training: a run of its own.

    Ranges are observed on calibration data, every scale is a power of two. The new run has a checkpoint like any
    other: `bitwright export` and `bitwright hls` go on from it. Widths may differ from layer to layer:
    --set recipe.layers.conv1.weight_bit_width=4.
    """
    from bitwright.cli import stage_calibrate  # noqa: PLC0415 - each command imports what it alone needs

    settings = CalibrationSettings(
        method=method,
        weight_method=weight_method,
        percentile=percentile,
        samples=samples,
        fold=fold,
        equalize=equalize,
        correct_bias=correct_bias,
        rounding=rounding,
    )
    widths = {
        "weight_bit_width": weight_bit_width,
        "activation_bit_width": activation_bit_width,
        "input_bit_width": input_bit_width,
    }
    run = stage_calibrate.calibrate(source, runs_dir, data_dir, overrides or (), widths, settings, name)
    write_and_say(run)
