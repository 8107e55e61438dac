"""The `bitwright` command: from a PyTorch network to an FPGA project, bit-exact and proven so."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from bitwright.cli.arguments import (
    DEFAULT,
    AllowApproximate,
    CsimHeaders,
    CsimInputs,
    DataDir,
    ExperimentArgument,
    InputType,
    Overrides,
    RunsDir,
)
from bitwright.cli.calibrate_command import calibrate
from bitwright.cli.compare_command import compare
from bitwright.cli.console import err
from bitwright.cli.estimate_command import estimate
from bitwright.cli.exit_status import INTERRUPTED, status_of
from bitwright.cli.experiment import explain
from bitwright.cli.named_run import exported, made, resolve
from bitwright.cli.page_command import page, write_and_say
from bitwright.cli.pretrained_command import pretrained
from bitwright.cli.prune_command import prune
from bitwright.cli.report_command import report
from bitwright.cli.rtl_command import rtl
from bitwright.cli.search_command import search
from bitwright.cli.study_command import study
from bitwright.cli.synth_command import synth
from bitwright.cli.usage import PROGRAM
from bitwright.hls.target import Target

app = typer.Typer(
    help=(
        "From a quantised or binarised PyTorch network to an FPGA project, proven to compute the same integers.\n\n"
        "A run is three stages, each done once and only again where its inputs changed:\n\n"
        "  bitwright train  configs/digits_mlp_w6a6.toml\n\n"
        "  bitwright export configs/digits_mlp_w6a6.toml\n\n"
        "  bitwright hls    configs/digits_mlp_w6a6.toml\n\n"
        "Then `verify` compares the integers of every level again, and `diff` names the first layer that differs."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def train(
    experiment: ExperimentArgument = DEFAULT,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Train the experiment's network in Brevitas.

    Writes checkpoint.safetensors (the best epoch), metrics.json and the page report.html into the run's folder.
    Interrupted or killed, it goes on after the last whole epoch when called again, and ends with the same weights.
    """
    # each command imports what it alone needs
    from bitwright.cli import stage_train  # noqa: PLC0415
    from bitwright.cli.processes import is_first_process  # noqa: PLC0415
    from bitwright.cli.settings_without_effect import check_effect  # noqa: PLC0415

    settings, run = resolve(experiment, runs_dir, overrides or ())
    if stage_train.is_new(settings, run):  # what an earlier version began goes on
        check_effect(settings)
    stage_train.train(settings, run, data_dir)
    if is_first_process(settings.train):
        write_and_say(run)


@app.command()
def export(
    experiment: ExperimentArgument = DEFAULT,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Export QONNX and lower it to an integer program, checked on the whole test set.

    Writes model.qonnx.onnx, model.lowered.onnx, precision.toml (edit it: a wider type is honoured, a narrower one
    refused) and interface.json, and runs the levels torch, qonnx and program. Exit status 1 where an integer differs.
    """
    from bitwright.cli import stage_export, stage_hls  # noqa: PLC0415

    settings, run = made(experiment, runs_dir, overrides or (), heeded=["hls"])  # the next stage's
    stage_export.export(settings, run, data_dir)
    verdict = stage_hls.judge(run)
    write_and_say(run)
    _verdict(verdict.exact)


@app.command()
def hls(
    experiment: ExperimentArgument = DEFAULT,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    csim_headers: CsimHeaders = "fast",
    csim_inputs: CsimInputs = None,
) -> None:
    """Write the hls4ml project, compile it, and simulate the whole test set.

    The project lies in hls/ of the run's folder, ready for Vitis or Vivado. Killed while it simulates, it goes on when
    called again. Exit status 1 where an integer differs from PyTorch's.
    """
    from bitwright.cli import stage_hls  # noqa: PLC0415

    settings, run = made(experiment, runs_dir, overrides or (), heeded=["hls"])
    verdict = stage_hls.hls(settings, run, csim_headers, csim_inputs)
    stage_hls.show(run, verdict)
    write_and_say(run)
    _verdict(verdict.exact)


@app.command()
def verify(
    experiment: ExperimentArgument = DEFAULT,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    cached: Annotated[
        bool, typer.Option(help="Take outputs whose inputs did not change, instead of computing all again.")
    ] = False,
    csim_headers: CsimHeaders = "fast",
    csim_inputs: Annotated[
        int | None,
        typer.Option(min=1, help="Test inputs to simulate in C, the first so many.", show_default="as many as last"),
    ] = None,
) -> None:
    """Compute every level again from what lies in the run's folder, and compare all integers.

    Nothing is trained, exported or written anew: a project that was changed by hand is compiled as it is, and so is a
    design of `bitwright rtl`.
    """
    from bitwright.cli import stage_export, stage_hls, stage_rtl  # noqa: PLC0415

    settings, run = made(experiment, runs_dir, overrides or ())
    run.check_exported()
    stage_export.run_levels(settings, run, data_dir, again=not cached)
    if run.project.exists():
        many = csim_inputs or stage_hls.csim_inputs_of(run)
        stage_hls.simulate(run, again=not cached, headers=csim_headers, csim_inputs=many)
    stage_rtl.simulate_again(run, again=not cached)
    verdict = stage_hls.judge(run)
    stage_hls.show(run, verdict)
    write_and_say(run)
    _verdict(verdict.exact)


@app.command()
def diff(
    experiment: ExperimentArgument = DEFAULT,
    overrides: Overrides = None,
    runs_dir: RunsDir = Path("runs"),
    inputs: Annotated[int, typer.Option(min=1, help="Test inputs to look at, those that differ first.")] = 48,
) -> None:
    """Name the first layer whose integers differ between the program and the C simulation, and why.

    Shows the element, both integers, and the cause: overflow, rounding, layout, scale or a changed constant.
    """
    from bitwright.cli import stage_diff  # noqa: PLC0415

    run, _ = exported(experiment, runs_dir, overrides or ())
    _verdict(stage_diff.diff(run, inputs))


@app.command()
def lower(
    model: Annotated[Path, typer.Argument(help="A QONNX file, as brevitas.export.export_qonnx writes it.")],
    to: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("lowered"),
    input_type: InputType = None,
    allow_approximate: AllowApproximate = False,
) -> None:
    """Lower a QONNX file: the integer program, the exact type of every layer, the interface. Needs no checkpoint."""
    from bitwright.cli import stage_lower  # noqa: PLC0415

    stage_lower.lower_file(model, to, input_type=input_type, allow_approximate=allow_approximate)


@app.command()
def convert(
    model: Annotated[Path, typer.Argument(help="A QONNX file, from Brevitas or elsewhere.")],
    to: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    inputs: Annotated[
        Path | None,
        typer.Option(help="Float inputs (N, ...), a .npy file.", show_default="random, over the whole input range"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Random inputs, where none are given.")] = 1000,
    io_type: Annotated[str, typer.Option(help="io_parallel or io_stream.")] = "io_parallel",
    backend: Annotated[str, typer.Option(help="Vitis or Vivado.")] = "Vitis",
    part: Annotated[str, typer.Option(help="Device, as the vendor spells it.")] = Target().part,
    clock_period_ns: Annotated[float, typer.Option(help="Period of the clock to reach, in ns.")] = 5.0,
    strategy: Annotated[str, typer.Option(help="Latency or Resource.")] = "Latency",
    reuse_factor: Annotated[int, typer.Option(help="Times each multiplier is used.")] = 1,
    input_type: InputType = None,
    allow_approximate: AllowApproximate = False,
    csim_headers: CsimHeaders = "fast",
) -> None:
    """Take any QONNX file to a compiled hls4ml project, proven to give the integers of qonnx's executor.

    Needs no checkpoint and no torch. Writes the same files as a run; exit status 1 where an integer differs.

    Scales that are no powers of two are carried too. Next to a rounding
    boundary the network's own float32 then depends on the order of adding:
    how many sums that may concern is said, and whether it showed here.
    """
    from bitwright.cli import stage_convert, stage_hls  # noqa: PLC0415

    settings = {
        "io_type": io_type,
        "backend": backend,
        "part": part,
        "clock_period_ns": clock_period_ns,
        "strategy": strategy,
        "reuse_factor": reuse_factor,
    }
    try:
        target = Target.model_validate(settings)
    except ValidationError as error:
        option, colon, rest = explain(error, Target).partition(":")
        raise ValueError(f"convert: --{option.replace('_', '-')}{colon}{rest}") from error
    run, verdict = stage_convert.convert(
        model,
        inputs,
        to,
        target,
        samples,
        input_type=input_type,
        allow_approximate=allow_approximate,
        headers=csim_headers,
    )
    stage_hls.show(run, verdict)
    write_and_say(run)
    _verdict(verdict.accepted)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="A QONNX file, from Brevitas or elsewhere.")],
    input_type: InputType = None,
    allow_approximate: AllowApproximate = False,
) -> None:
    """Show every layer's grid, interval and cost, what the host does, and what cannot be lowered and why.

    Builds nothing. Exit status 2 where a node cannot be lowered; all such nodes are named.
    """
    from bitwright.cli import stage_inspect  # noqa: PLC0415

    stage_inspect.inspect(model, input_type=input_type, allow_approximate=allow_approximate)


app.command()(calibrate)
app.command()(search)
app.command()(prune)
app.add_typer(study, name="study")
app.command()(rtl)
app.command()(synth)
app.command()(estimate)
app.command()(report)
app.command()(compare)
app.command()(page)
app.command()(pretrained)


@app.command()
def doctor() -> None:
    """Show versions against the pins, which tools there are, and what each missing one costs."""
    from bitwright.cli import doctor as report  # noqa: PLC0415

    _verdict(report.doctor())


def _verdict(good: bool) -> None:
    if not good:
        raise typer.Exit(1)


def run() -> None:
    """Run the command; every error that a person can cause ends in one line and status 2.

    With BITWRIGHT_TRACEBACK=1 the traceback shows where it came from instead.
    """
    status = status_of(lambda: app(prog_name=PROGRAM, standalone_mode=False))
    if status == INTERRUPTED:
        err.print("interrupted; the same command goes on from what is finished")
    sys.exit(status)
