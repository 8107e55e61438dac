"""What a run's folder says for a comparison; what is missing or damaged is a blank with a note."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bitwright.cli.compare_hardware import Hardware, estimates, reported
from bitwright.cli.compare_size import size_of
from bitwright.cli.console import error_line
from bitwright.cli.experiment import Experiment
from bitwright.cli.finite_figures import not_finite
from bitwright.cli.report_sheet import clean
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_program
from bitwright.export.precision import Precision, minimal, read_precision
from bitwright.export.program import Program
from bitwright.export.torch_level import run_torch
from bitwright.hls.verification import LevelResult, Verification
from bitwright.models import dataset
from bitwright.models.checkpoint import load as load_checkpoint
from bitwright.models.figure import figure_of, measured, name_in_words
from bitwright.quant.recipe import FLOAT

Content = TypeVar("Content")

MEASURED, VERIFIED = "measured now", "verification.json"
"""Where an accuracy or an error is from."""


@dataclass(frozen=True, eq=False)
class RunFacts:
    """What one run is and has.

    Args:
        run: Its folder.
        experiment: Its settings.
        accuracy: Share of the test set's labels that are met; None of an autoencoder.
        mean_squared_error: Of an autoencoder on the test set.
        figure_from: Who says so, of the two.
        weights: Their number; of a float network, without norms and biases.
        weight_bits: Of all of them.
        packed_bytes: Of the program's constants, see `compare_size.packed`.
        bit_operations: Of one inference of the program.
        program_bytes: Of the file of the integer program.
        checkpoint_bytes: Of the file of the weights as they were trained.
        levels: Integers compared at each level.
        hardware: Cells by stage.
        notes: What is missing, and why.
        program: The integer program, if it was exported.
    """

    run: RunFolder
    experiment: Experiment
    accuracy: float | None = None
    mean_squared_error: float | None = None
    figure_from: str = ""
    weights: int | None = None
    weight_bits: int | None = None
    packed_bytes: int | None = None
    bit_operations: int | None = None
    program_bytes: int | None = None
    checkpoint_bytes: int | None = None
    levels: Mapping[str, LevelResult] = field(default_factory=dict)
    hardware: Hardware = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    program: Program | None = None

    @property
    def name(self) -> str:
        """Of the run's folder."""
        return clean(self.run.path.resolve().name)


def facts(run: RunFolder, experiment: Experiment, data_dir: Path | None) -> RunFacts:
    """Read what a comparison shows of a run; compute the accuracy, or the error, where no verdict has it.

    Args:
        run: Its folder; nothing is written there.
        experiment: Its settings.
        data_dir: Of the data sets; nothing is fetched.
    """
    return _Reader(run, experiment).facts(data_dir)


class _Reader:
    """Reads one run; what cannot be read becomes a note."""

    def __init__(self, run: RunFolder, experiment: Experiment) -> None:
        self.run = run
        self.experiment = experiment
        self.notes: list[str] = []

    def facts(self, data_dir: Path | None) -> RunFacts:
        program = self._program()
        levels = self._levels() if program is not None else {}
        figure = figure_of(self.experiment.model.kind)
        told = [getattr(level, figure) for name, level in levels.items() if name in ("program", next(iter(levels)))]
        value = told[-1] if told else None
        origin = VERIFIED if value is not None else ""
        if value is None and self.run.checkpoint.is_file():
            value = self._take(lambda: self._measured(data_dir))
            origin = MEASURED if value is not None else ""
        size = asdict(size_of(program)) if program is not None else self._float_size()
        return RunFacts(
            run=self.run,
            experiment=self.experiment,
            accuracy=value if figure == "accuracy" else None,
            mean_squared_error=value if figure == "mean_squared_error" else None,
            figure_from=origin,
            **size,
            program_bytes=self.run.lowered.stat().st_size if program is not None else None,
            checkpoint_bytes=self.run.checkpoint.stat().st_size if self.run.checkpoint.is_file() else None,
            levels=levels,
            hardware=self._hardware(program),
            notes=tuple(self.notes),
            program=program,
        )

    def _take(self, read: Callable[[], Content]) -> Content | None:
        """Return what a file says; where it cannot be read, keep the reason and go on."""
        try:
            return read()
        except (ValueError, OSError) as error:
            self.notes.append(clean(error_line(error).replace(f"{self.run.path}/", "")))
            return None

    def _program(self) -> Program | None:
        """Return the program, if it is of the weights that are there."""
        run = self.run
        if not run.checkpoint.is_file() and not run.lowered.is_file():
            self.notes.append("not trained; `bitwright train` does it")
        elif self.experiment.recipe.is_float:
            self.notes.append("a float network: no integers, no bit operations and no hardware")
            return None
        elif not run.lowered.is_file():
            self.notes.append("not exported; `bitwright export` does it")
        elif run.was_trained_again:
            self.notes.append("trained again after the export; `bitwright export` makes the integers anew")
            return None
        elif run.program_was_changed:
            self.notes.append(f"{run.lowered.name} is not as it was exported; `bitwright export` makes it anew")
            return None
        return self._take(lambda: load_program(run)) if run.lowered.is_file() else None

    def _levels(self) -> Mapping[str, LevelResult]:
        path = self.run.verification
        if not path.is_file():
            self.notes.append("integers not compared; `bitwright verify` does it")
            return {}
        try:
            found = TypeAdapter(Verification).validate_json(path.read_bytes())
            key = not_finite(asdict(found))
        except (ValidationError, OSError):
            self.notes.append("verification.json cannot be read; `bitwright verify` writes it anew")
            return {}
        if key is not None:
            text = f"verification.json: {key} must be finite, not NaN or infinite; `bitwright verify` writes it anew"
            self.notes.append(clean(text))
            return {}
        if found.impossible:
            self.notes.append(clean(f"verification.json: {found.impossible}; `bitwright verify` writes it anew"))
            return {}
        differing = ", ".join(clean(name) for name, level in found.levels.items() if level.different)
        if differing:
            self.notes.append(f"integers differ at {differing}; `bitwright diff` says where")
        return found.levels

    def _measured(self, data_dir: Path | None) -> float:
        """Run the network itself on the test set."""
        name, kind = self.experiment.data.name, self.experiment.model.kind
        try:
            split = dataset.load_test(name, data_dir, download=False)
        except (ValueError, OSError) as error:
            raise ValueError(
                f"no {name_in_words(figure_of(kind))}: the test set of {name} cannot be read; name its folder: "
                "--data-dir"
            ) from error
        scale = dataset.describe(name).input_scale
        network, _ = load_checkpoint(self.run.checkpoint)
        return measured(kind, run_torch(network, split.inputs.astype(np.float32) * np.float32(scale)), split, scale)

    def _float_size(self) -> dict[str, int]:
        """Return how many weights a float network has, and their bits."""
        if not (self.experiment.recipe.is_float and self.run.checkpoint.is_file()):
            return {}
        network = self._take(lambda: load_checkpoint(self.run.checkpoint)[0])
        if network is None:
            return {}
        weights = sum(value.numel() for value in network.parameters() if value.dim() >= 2)
        return {"weights": weights, "weight_bits": weights * FLOAT}

    def _hardware(self, program: Program | None) -> Hardware:
        if program is None:
            return {}
        estimated = self._take(lambda: estimates(program, self._precision(program), self.experiment.hls))
        found, problems = reported(self.run)
        self.notes += problems
        return {**(estimated or {}), **found}

    def _precision(self, program: Program) -> Precision:
        path = self.run.precision
        return read_precision(path, program) if path.is_file() else minimal(program)
