"""The command line of `page`; what it needs is imported when it is called."""

from pathlib import Path

from bitwright.cli.arguments import DEFAULT, ExperimentArgument, Overrides, RunsDir
from bitwright.cli.console import out
from bitwright.cli.named_run import exported
from bitwright.cli.run_folder import RunFolder


def page(
    experiment: ExperimentArgument = DEFAULT,
    overrides: Overrides = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Write report.html of a run: one page that needs nothing beside itself, to read in a browser or on paper.

    The verdict of each level, the training, the network, every layer's weights, values, bits and cost, the hardware's
    figures by stage, and how to make the run again. Every command that changes the run writes it, too.
    """
    run, _ = exported(experiment, runs_dir, overrides or ())
    write_and_say(run)


def write_and_say(run: RunFolder) -> None:
    """Write the page of a run, and print where it is."""
    from bitwright.cli import page as pages  # noqa: PLC0415 - each command imports what it alone needs

    out.print(f"page     {pages.write_page(run)}", markup=False)
