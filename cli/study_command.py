"""The command line of `study`; what it needs is imported when it is called."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.cli.arguments import DataDir, ExperimentArgument, FloatNetwork, Overrides, RunsDir

if TYPE_CHECKING:
    from bitwright.cli.study_source import Source
    from bitwright.cli.study_training import TrainingPlan, TrainingSource

Method = Literal["min_max", "moving_average", "percentile", "mse", "entropy"]
USUAL = CalibrationSettings()
WIDEST = 16

study = typer.Typer(
    help=(
        "Compare ways to quantise a trained float network, or to train a binary one: commands that write figures, a "
        "table and a plot.\n\n"
        "Each writes RUN/study/<name>.json, .csv and .svg. A finished point is kept there, and is not computed again; "
        "interrupted or killed, a study goes on when called again."
    ),
    no_args_is_help=True,
)


class ManyValues(TyperCommand):
    """Lets --bits and --seeds take several numbers: ``--bits 2 3 4`` is ``--bits 2 --bits 3 --bits 4``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own
        """Repeat the option before each further number behind it."""
        return super().parse_args(ctx, repeated(args))


def repeated(arguments: list[str]) -> list[str]:
    """Return a command line with --bits and --seeds before each of their numbers.

    >>> repeated(["RUN", "--bits", "2", "3", "--epochs", "1"])
    ['RUN', '--bits', '2', '--bits', '3', '--epochs', '1']
    >>> repeated(["RUN", "--seeds=1", "2"])
    ['RUN', '--seeds=1', '--seeds', '2']
    """
    found: list[str] = []
    option = ""
    for argument in arguments:
        if argument.isascii() and argument.isdecimal():
            if option and found[-1] != option:
                found.append(option)
        else:
            name = argument.partition("=")[0]
            option = name if name in ("--bits", "--seeds") else ""
        found.append(argument)
    return found


Bits = Annotated[list[str], typer.Option(metavar="NUMBERS", help="Bit widths, 2 to 16, as in --bits 2 4 8.")]
Weights = Annotated[int, typer.Option(min=2, max=WIDEST, help="Bits of the weights.")]
Activations = Annotated[int, typer.Option(min=2, max=WIDEST, help="Bits of the activations.")]
Input = Annotated[int, typer.Option(min=2, max=WIDEST, help="Bits of the network's input.")]
Seeds = Annotated[list[str], typer.Option(metavar="NUMBERS", help="Of the trainings, as in --seeds 1 2 3.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Of each training.", show_default="the experiment's")]
Samples = Annotated[int, typer.Option(help="Inputs of the training set to calibrate on.")]


@study.command(cls=ManyValues)
def widths(
    run: FloatNetwork,
    bits: Bits = ["2", "3", "4", "5", "6", "7", "8"],  # noqa: B006 - typer copies it
    epochs: Annotated[int, typer.Option(min=1, help="Of each training.")] = 3,
    seeds: Annotated[
        list[str],
        typer.Option(metavar="NUMBERS", help="Of trainings and of the draws of calibration data, as in --seeds 1 2 3."),
    ] = ["1", "2", "3"],  # noqa: B006
    rounding: Annotated[Rounding, typer.Option(help="Of the calibrated weights.")] = USUAL.rounding,
    input_bit_width: Input = 8,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """PTQ beside QAT: the accuracy on test at each width of weights and activations.

    PTQ is `bitwright calibrate`; QAT is `bitwright train` from the float weights (train.start_from), with the float
    run's settings for all but the epochs. --set recipe.last_weight_bit_width=8 holds for both, --set
    train.learning_rate=0.001 for QAT. The trained networks are runs in RUN/study/.
    """
    from bitwright.cli import study_widths  # noqa: PLC0415 - each command imports what it alone needs
    from bitwright.cli.study_source import whole_numbers  # noqa: PLC0415

    plan = study_widths.WidthsPlan(
        bits=whole_numbers("--bits", bits, 2, WIDEST, "width"),
        epochs=epochs,
        seeds=whole_numbers("--seeds", seeds, 0, 2**31 - 1, "seed"),
        rounding=rounding,
        input_bit_width=input_bit_width,
    )
    study_widths.check_overrides(overrides or ())
    study_widths.widths(_opened(run, runs_dir, data_dir, overrides), plan)


@study.command()
def scales(
    run: FloatNetwork,
    bit_width: Weights = 4,
    activation_bit_width: Activations = 8,
    input_bit_width: Input = 8,
    samples: Samples = USUAL.samples,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """One scale a layer beside one a channel, powers of two beside free scales: the error of each layer's weights.

    With each method to find a range; and the accuracy on test of the network with power-of-two weights of either kind.
    """
    from bitwright.cli import study_scales  # noqa: PLC0415

    plan = study_scales.ScalesPlan(bit_width, activation_bit_width, input_bit_width, samples)
    study_scales.scales(_opened(run, runs_dir, data_dir), plan)


@study.command(cls=ManyValues)
def methods(
    run: FloatNetwork,
    bits: Bits = ["8", "6", "4", "3"],  # noqa: B006
    weight_bit_width: Weights = 8,
    input_bit_width: Input = 8,
    samples: Samples = USUAL.samples,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """The ways to find an activation's range: the accuracy on test with each, at each width of the activations."""
    from bitwright.cli import study_methods  # noqa: PLC0415
    from bitwright.cli.study_source import whole_numbers  # noqa: PLC0415

    widths = whole_numbers("--bits", bits, 2, WIDEST, "width")
    plan = study_methods.MethodsPlan(widths, weight_bit_width, input_bit_width, samples)
    study_methods.methods(_opened(run, runs_dir, data_dir), plan)


@study.command()
def int8(
    run: FloatNetwork,
    repeats: Annotated[int, typer.Option(min=1, help="Times that each is measured, in turn; the fastest counts.")] = 5,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """PyTorch's int8 dynamic quantisation as the software baseline: accuracy, size on disk, and seconds.

    Beside the float network, and beside the integers that `bitwright calibrate` makes of it at 8 bits, in the integer
    executor. All on one thread, in one run.
    """
    from bitwright.cli import study_int8  # noqa: PLC0415

    study_int8.int8(_opened(run, runs_dir, data_dir), study_int8.Int8Plan(repeats))


@study.command(cls=ManyValues)
def estimators(
    experiment: ExperimentArgument,
    epochs: Epochs = None,
    seeds: Seeds = ["1", "2", "3"],  # noqa: B006 - typer copies it
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """The gradients of the sign: the accuracy on test of the same network trained with each (recipe.sign_gradient)."""
    from bitwright.cli import study_estimators  # noqa: PLC0415 - each command imports what it alone needs

    opened = _experiment(experiment, runs_dir, data_dir, overrides, study_estimators.GRADIENT, epochs, seeds)
    study_estimators.estimators(*opened, experiment)


@study.command(cls=ManyValues)
def binary_scales(
    experiment: ExperimentArgument,
    epochs: Epochs = None,
    seeds: Seeds = ["1", "2", "3"],  # noqa: B006
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """The scales of 1-bit weights: the accuracy on test of the same network trained with each.

    No scale, one a layer, one an output (recipe.binary_weight_scale).
    """
    from bitwright.cli import study_estimators  # noqa: PLC0415

    opened = _experiment(experiment, runs_dir, data_dir, overrides, study_estimators.SCALE, epochs, seeds)
    study_estimators.binary_scales(*opened, experiment)


@study.command(cls=ManyValues)
def orders(
    experiment: ExperimentArgument,
    epochs: Epochs = None,
    seeds: Seeds = ["1", "2", "3"],  # noqa: B006
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Pooling, batch norm and activation in each order: the accuracy on test of the same network (model.order)."""
    from bitwright.cli import study_orders  # noqa: PLC0415

    opened = _experiment(experiment, runs_dir, data_dir, overrides, study_orders.ORDER, epochs, seeds)
    study_orders.orders(*opened, experiment)


@study.command(cls=ManyValues)
def depthwise(
    experiment: ExperimentArgument,
    epochs: Epochs = None,
    seeds: Seeds = ["1", "2", "3"],  # noqa: B006
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Depthwise weights of 1, 2, 4 and 8 bits: the accuracy on test of a MobileNetV2 (model.depthwise_bit_width).

    All activations have the bits of the experiment; --set model.depthwise_input_bit_width=4 and
    --set model.bottleneck_bit_width=8 give what depthwise layers take and what leaves the blocks their own.
    """
    from bitwright.cli import study_depthwise  # noqa: PLC0415

    opened = _experiment(experiment, runs_dir, data_dir, overrides, study_depthwise.WEIGHTS, epochs, seeds)
    study_depthwise.depthwise(*opened, experiment)


@study.command(cls=ManyValues)
def bottlenecks(
    experiment: ExperimentArgument,
    epochs: Epochs = None,
    seeds: Seeds = ["1", "2", "3"],  # noqa: B006
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """What leaves MobileNetV2's blocks in 1, 2, 4 and 8 bits: the accuracy on test (model.bottleneck_bit_width)."""
    from bitwright.cli import study_depthwise  # noqa: PLC0415

    opened = _experiment(experiment, runs_dir, data_dir, overrides, study_depthwise.BOTTLENECKS, epochs, seeds)
    study_depthwise.bottlenecks(*opened, experiment)


def _experiment(
    given: Path,
    runs_dir: Path,
    data_dir: Path | None,
    overrides: list[str] | None,
    varied: str,
    epochs: int | None,
    seeds: list[str],
) -> "tuple[TrainingSource, TrainingPlan]":
    from bitwright.cli.study_source import whole_numbers  # noqa: PLC0415
    from bitwright.cli.study_training import TrainingPlan, open_training  # noqa: PLC0415

    numbers = whole_numbers("--seeds", seeds, 0, 2**31 - 1, "seed")
    opened = open_training(given, runs_dir, data_dir, overrides or (), varied)
    return opened, TrainingPlan(epochs or opened.experiment.train.epochs, numbers)


def _opened(run: Path, runs_dir: Path, data_dir: Path | None, overrides: list[str] | None = None) -> "Source":
    from bitwright.cli.study_source import open_source  # noqa: PLC0415

    return open_source(run, runs_dir, data_dir, overrides or ())
