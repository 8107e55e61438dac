"""The command `compare`: many runs side by side, in one table and on one page."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitwright.cli.compare_data import Comparison, Timing, csv_text, json_text
from bitwright.cli.compare_facts import RunFacts, facts
from bitwright.cli.compare_groups import groups
from bitwright.cli.compare_page import html_text
from bitwright.cli.compare_rows import rows
from bitwright.cli.compare_sheets import markdown_text, show
from bitwright.cli.compare_speed import Speed, speed
from bitwright.cli.console import error_line, note, out, progress_bar
from bitwright.cli.experiment import Experiment, read
from bitwright.cli.report_sheet import clean
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, check_writable, run_around, write_text
from bitwright.cli.versions import installed
from bitwright.models.hardware import cores, processor

BUSY = 0.5
"""Load of each core over the minute before, above which several threads wait for each other: speeds are chance."""

TEXTS: dict[str, Callable[[Comparison], str]] = {
    "csv": csv_text,
    "md": markdown_text,
    "json": json_text,
    "html": html_text,
}


ENDINGS = {"csv": (".csv",), "md": (".md", ".markdown"), "json": (".json",), "html": (".html", ".htm")}
"""Of the files that each form may be written to: a wrong name does not replace a file of another kind."""


@dataclass(frozen=True)
class Timed:
    """What is to be timed.

    Args:
        images: Inputs of the test set at most.
        threads: Of everything that is timed.
    """

    images: int
    threads: int


def compare(paths: Sequence[Path], form: str, target: Path | None, timed: Timed | None, data_dir: Path | None) -> None:
    """Print a comparison, or write it to a file and print its table.

    Args:
        paths: Folders of runs; one that is named twice counts once.
        form: table, csv, md, json or html.
        target: The file; standard output, if None.
        timed: What is to be timed, if anything is.
        data_dir: Of the data sets.

    Raises:
        ValueError: If there are fewer cores than threads, or they are busy; if an experiment is refused; if a table is
            to go to a file.
        OSError: If a folder is no run, or the file cannot be written.
    """
    _check_target(form, target)
    if timed is not None and timed.threads > cores():
        raise ValueError(
            f"--threads: number must be at most {cores()}, the cores of this machine, not {timed.threads}; "
            f"try --threads {cores()}"
        )
    load = round(os.getloadavg()[0], 2)  # before there is our own
    if timed is not None and timed.threads > 1 and load > BUSY * cores():
        raise ValueError(
            f"--threads: load must be at most {BUSY * cores():g} on {cores()} cores to time {timed.threads} threads, "
            f"not {load:g}; wait for other work to end, or take --threads 1"
        )
    found = _read([(RunFolder(path), _experiment(path)) for path in _once(paths)], data_dir)
    made = comparison(found, timed, data_dir, load)
    if target is not None:
        show(made)
        write_text(target, TEXTS[form](made))
        out.print(f"written  {target}", markup=False)
    elif form == "table":
        show(made)
    else:
        sys.stdout.write(TEXTS[form](made))
        for text in made.notes if form == "csv" else ():  # of no row; the other forms hold them
            note(f"note: {text}")


def comparison(found: Sequence[RunFacts], timed: Timed | None, data_dir: Path | None, load: float) -> Comparison:
    """Return all that is shown.

    Args:
        found: The runs; the first of each experiment is timed.
        timed: What is to be timed, if anything is.
        data_dir: Of the data sets.
        load: Of the machine, before.
    """
    timing = Timing(timed.images, timed.threads, processor(), load) if timed else None
    speeds, notes = _speeds([group[0] for group in groups(found)], timed, data_dir) if timed else ({}, [])
    return Comparison(tuple(rows(found, speeds)), timing, tuple(notes), installed())


def _speeds(found: Sequence[RunFacts], timed: Timed, data_dir: Path | None) -> tuple[dict[Path, Speed], list[str]]:
    """Time runs one after the other; return their speeds by folder, and why some have none."""
    speeds: dict[Path, Speed] = {}
    notes: list[str] = []
    with progress_bar("compare: timing", len(found)) as count:
        for one in found:
            try:
                speeds[one.run.path] = speed(one, timed.images, timed.threads, data_dir)
            except (ValueError, OSError) as error:
                notes.append(clean(f"{one.name}: not timed: {error_line(error).replace(f'{one.run.path}/', '')}"))
            count(1)
    return speeds, notes


def _check_target(form: str, target: Path | None) -> None:
    if target is None:
        return
    if form == "table":
        raise ValueError("--out: format must be csv, md, json or html, not table; add --format html")
    if target.is_dir():
        raise IsADirectoryError(f"--out: file must be one that can be written, not the folder {target}; name a file")
    if target.suffix.lower() not in ENDINGS[form]:
        raise ValueError(
            f"--out: file must end in {' or '.join(ENDINGS[form])} with --format {form}, not be {target}; name another"
        )
    run = run_around(target)
    if run is not None:
        raise ValueError(f"--out: file must lie outside the folders of runs, not be {target}; name one beside {run}")
    check_writable("--out", target)


def _once(paths: Iterable[Path]) -> list[Path]:
    return list({path.resolve(): path for path in paths}.values())


def _experiment(path: Path) -> Experiment:
    if not (path / EXPERIMENT).is_file():
        found = "another" if path.is_dir() else "a file" if path.exists() else "missing"
        raise FileNotFoundError(
            f"{path}: run must be a folder with {EXPERIMENT}, not {found}; name a folder that `bitwright train` made"
        )
    return read(path / EXPERIMENT)


def _read(runs: Sequence[tuple[RunFolder, Experiment]], data_dir: Path | None) -> list[RunFacts]:
    found = []
    with progress_bar("compare: reading", len(runs)) as count:
        for run, experiment in runs:
            found.append(facts(run, experiment, data_dir))
            count(1)
    note(f"compare: {len(runs)} {'run' if len(runs) == 1 else 'runs'} read")
    return found
