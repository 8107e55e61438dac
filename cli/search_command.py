"""The command line of `search`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.calibration.settings import Rounding
from bitwright.cli.arguments import DataDir, FloatNetwork, Overrides, RunsDir
from bitwright.cli.calibrate_command import USUAL, MethodName
from bitwright.cli.search_wanted import Wanted
from bitwright.quant.recipe import Scale

CostName = Literal["weight_bits", "bit_operations", "lut", "yosys_lut"]


def search(
    source: FloatNetwork,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    target_accuracy: Annotated[
        float | None, typer.Option(help="Least accuracy on the validation split, as in 0.985.")
    ] = None,
    max_accuracy_loss: Annotated[
        float | None,
        typer.Option(help="Or: how much less than the float network's, as in 0.003.", show_default="0.005"),
    ] = None,
    max_bits: Annotated[
        int | None, typer.Option(min=1, help="Or: the most bits of all weights; the best accuracy below it wins.")
    ] = None,
    max_lut: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Or: the most LUT as unrolled logic, estimated, or, with --cost yosys_lut, counted by Yosys; the best "
            "below it wins.",
        ),
    ] = None,
    cost: Annotated[
        CostName,
        typer.Option(
            help="What is to become less: bit operations (of weights and activations), bits of weights, estimated LUT, "
            "for which every candidate is lowered, or the LUT that Yosys counts, of small networks: the search goes by "
            "the estimate, then the points of its front and those near the winner are synthesised, for minutes, and "
            "the front and the winner are Yosys'. Of --max-bits and --max-lut, theirs."
        ),
    ] = "bit_operations",
    start_bit_width: Annotated[int, typer.Option(min=3, max=16, help="Of every layer, to begin with.")] = 8,
    max_accumulator_bits: Annotated[
        int | None,
        typer.Option(
            min=6,
            max=32,
            help="The most bits of any layer's accumulator, bias included, in every candidate and learned network: "
            "proven.",
        ),
    ] = None,
    learn: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="After the greedy descent: points of a sweep in which the widths are learned by gradient, beside the "
            "weights, each with more weight on the cost than the one before; a perceptron's hidden layers with as many "
            "outputs as inputs may leave.",
        ),
    ] = 0,
    learn_epochs: Annotated[int, typer.Option(min=1, help="Passes over the training set for each of them.")] = 1,
    learn_widths: Annotated[
        Scale,
        typer.Option(
            help="What has a learned width of its own: the weights of a layer, or those of each output channel, down "
            "to none. The chip's memory has one width a layer; unrolled logic gains from both."
        ),
    ] = "per_tensor",
    trials: Annotated[
        int, typer.Option(min=0, help="After the greedy descent: trials of Optuna's multi-objective search.")
    ] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where the trials are kept, so that many processes and machines may share them, as "
            "postgresql://user@host/base.",
            show_default="a SQLite file in the run's folder",
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that make the trials side by side.")] = 1,
    method: Annotated[MethodName, typer.Option(help="How an activation's range is found.")] = USUAL.method,
    rounding: Annotated[
        Rounding, typer.Option(help="How weights are rounded; learned takes a minute for each candidate.")
    ] = "gptq",
    samples: Annotated[int, typer.Option(help="Inputs of the training set to calibrate on.")] = USUAL.samples,
    yosys: Annotated[
        bool, typer.Option("--yosys", help="Synthesise the points of the front with Yosys, if they are small: minutes.")
    ] = False,
    binary: Annotated[
        bool,
        typer.Option(
            "--binary",
            help="Try weights of one bit, too, where a batch norm stands behind: batch norms are not folded then.",
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Of the winner's run.", show_default="the float run's, with _search behind it")
    ] = None,
) -> None:
    """Find the least bit widths of every layer for a target accuracy, without training.

    First what each layer alone costs (its sensitivity); then a greedy descent, one bit less where it hurts least; then,
    if asked for, widths learned by gradient, and trials of Optuna. Every candidate is kept: interrupted or killed, the
    same command goes on. The front of accuracy against cost is lowered to integers, candidate by candidate. The winner
    becomes a run of its own, which `bitwright export` and `bitwright hls` take, with its recipe, recipe.toml, which
    `bitwright train` takes, too. The networks trained at learned widths are runs as well: search/learned/ in the float
    run's folder.

    Exit status 1 where no candidate reaches the target: the best one found is said, and the front.
    """
    wanted = Wanted(
        target_accuracy=target_accuracy,
        max_accuracy_loss=max_accuracy_loss,
        max_bits=max_bits,
        max_lut=max_lut,
        cost=_cost(cost, max_bits, max_lut),
        start_bit_width=start_bit_width,
        max_accumulator_bits=max_accumulator_bits,
        learn=learn,
        learn_epochs=learn_epochs,
        learn_widths=learn_widths,
        trials=trials,
        storage=storage,
        processes=processes,
        method=method,
        rounding=rounding,
        samples=samples,
        yosys=yosys,
        binary=binary,
        name=name,
    )
    from bitwright.cli import stage_search  # noqa: PLC0415 - torch takes seconds

    if not stage_search.search(source, runs_dir, data_dir, tuple(overrides or ()), wanted):
        raise typer.Exit(1)


def _cost(cost: CostName, max_bits: int | None, max_lut: int | None) -> CostName:
    """Return the cost that is meant: that of a budget, but Yosys' where it is asked for."""
    if cost == "yosys_lut":
        return cost
    return "lut" if max_lut is not None else "weight_bits" if max_bits is not None else cost
