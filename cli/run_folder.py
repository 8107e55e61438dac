"""Where things lie in a run's folder, and which stage's results are still those of its inputs."""

import atexit
import fcntl
import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

EXPERIMENT = "experiment.toml"
PRUNING = "pruning.json"
STAGES = ".stages"
STUDY = "study"
"""Folder in a run for the trainings of studies of it, which are runs of their own."""

_LOCKS: dict[Path, TextIO] = {}
"""Open lock files of this process."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Args:
        path: ``runs/<experiment>``.
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Weights of the best epoch."""
        return self.path / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        """Figures of the training."""
        return self.path / "metrics.json"

    @property
    def qonnx(self) -> Path:
        """The exported graph."""
        return self.path / "model.qonnx.onnx"

    @property
    def lowered(self) -> Path:
        """The integer program."""
        return self.path / "model.lowered.onnx"

    @property
    def precision(self) -> Path:
        """The types of every layer, for people to edit."""
        return self.path / "precision.toml"

    @property
    def gates(self) -> Path:
        """How often the gates of a program that has any are open on the test set."""
        return self.path / "gates.json"

    @property
    def interface(self) -> Path:
        """What the host does."""
        return self.path / "interface.json"

    @property
    def inputs(self) -> Path:
        """The test set as the chip's input integers."""
        return self.path / "inputs.npy"

    @property
    def labels(self) -> Path:
        """The test set's labels."""
        return self.path / "labels.npy"

    @property
    def targets(self) -> Path:
        """What an autoencoder is to give back on the test set."""
        return self.path / "targets.npy"

    @property
    def project(self) -> Path:
        """The hls4ml project."""
        return self.path / "hls"

    @property
    def rtl(self) -> Path:
        """The design in Verilog or VHDL."""
        return self.path / "rtl"

    @property
    def csim(self) -> Path:
        """Compiled simulations, and the chunks of an unfinished one."""
        return self.path / "csim"

    @property
    def verification(self) -> Path:
        """The verdict."""
        return self.path / "verification.json"

    @property
    def page(self) -> Path:
        """All of it on one page, for people."""
        return self.path / "report.html"

    def output(self, level: str) -> Path:
        """Return the output integers of a level."""
        return self.path / "outputs" / f"{level}.npy"

    @property
    def was_trained_again(self) -> bool:
        """Whether the checkpoint is another than the one that was exported."""
        exported = self.stamp_value("export", "checkpoint")
        return bool(exported) and self.checkpoint.is_file() and digest(self.checkpoint) != exported

    @property
    def program_was_changed(self) -> bool:
        """Whether the integer program is another than the one that `export` wrote."""
        exported = self.stamp_value("export", self.lowered.name)
        return bool(exported) and self.lowered.is_file() and digest(self.lowered) != exported

    def is_of_another_program(self, stage: str) -> bool:
        """Return whether what a stage made of the run's program is known to be of another one.

        Args:
            stage: ``project`` or ``rtl_design``.
        """
        made_of = self.stamp_value(stage, "program")
        return bool(made_of) and (not self.lowered.is_file() or made_of != digest(self.lowered))

    def check_exported(self) -> None:
        """Refuse to say anything of a network whose program is another one's.

        Raises:
            ValueError: If it was trained again after the export.
        """
        if self.was_trained_again:
            raise ValueError(
                f"{self.checkpoint}: checkpoint must be the one that was exported, not another; run `bitwright export` "
                "first"
            )

    def check_place(self) -> None:
        """Refuse a folder that cannot be one; make nothing.

        Raises:
            NotADirectoryError: If something else is in its place, or in that of a folder above it.
        """
        if any(place.exists() and not place.is_dir() for place in (self.path, *self.path.parents)):
            raise NotADirectoryError(
                f"{self.path}: results must go into a folder that can be made, not below a file; name another folder"
            )

    def create(self) -> None:
        """Make the folder.

        Raises:
            NotADirectoryError: If something else is in its place.
            OSError: If it cannot be made.
        """
        self.check_place()
        (self.path / "outputs").mkdir(parents=True, exist_ok=True)

    def forget_outputs(self) -> None:
        """Delete the outputs of every level and the verdict: the network that they were of is another now."""
        for path in (self.path / "outputs").glob("*.npy"):
            path.unlink()
        self.verification.unlink(missing_ok=True)

    def lock(self) -> None:
        """Keep other commands out of the folder until this process ends.

        Raises:
            ValueError: If another command works there.
        """
        if self.path.resolve() in _LOCKS or not self.path.is_dir():
            return
        handle = (self.path / ".lock").open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.close()
            raise ValueError(f"{self.path}: run must be free, not in use by another command; wait for it") from error
        _LOCKS[self.path.resolve()] = handle
        atexit.register(handle.close)

    def is_current(self, stage: str, key: str, unchanged: Iterable[Path] = (), present: Iterable[Path] = ()) -> bool:
        """Return whether a stage was finished with the same inputs, and its results are still there.

        Args:
            stage: Its name.
            key: Digest of all that its results depend on.
            unchanged: Results that must be as the stage wrote them.
            present: Results that a person may have edited; they must exist.
        """
        stamp = self._stamp(stage)
        if stamp.get("key") != key or not all(path.exists() for path in present):
            return False
        return all(path.exists() and digest(path) == stamp.get(path.name) for path in unchanged)

    def seconds(self, stage: str) -> float:
        """Return how long a stage took when it last ran."""
        value = self._stamp(stage).get("seconds", 0.0)
        return float(value) if isinstance(value, int | float) else 0.0

    def finish(self, stage: str, key: str, seconds: float, unchanged: Iterable[Path] = (), **more: str) -> None:
        """Note that a stage is finished: the last thing that it does."""
        stamp = {"key": key, "seconds": round(seconds, 3), **{path.name: digest(path) for path in unchanged}, **more}
        write_text(self._stamp_path(stage), json.dumps(stamp, indent=2) + "\n")

    def forget(self, stage: str) -> None:
        """Note that a stage is no longer finished: what it wrote is about to change."""
        self._stamp_path(stage).unlink(missing_ok=True)

    def stamp_value(self, stage: str, name: str) -> str:
        """Return what a stage noted beside its key, or nothing."""
        return str(self._stamp(stage).get(name, ""))

    def _stamp_path(self, stage: str) -> Path:
        return self.path / STAGES / f"{stage}.json"

    def _stamp(self, stage: str) -> dict[str, object]:
        try:
            found = json.loads(self._stamp_path(stage).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def run_around(path: Path) -> Path | None:
    """Return the folder of the run that a file belongs to, if any: not of one that only has studies above it."""
    path = path.resolve()
    for folder in path.parents:
        if (folder / EXPERIMENT).is_file() and (folder / STAGES).is_dir():
            return None if path.relative_to(folder).parts[0] == STUDY else folder
    return None


def digest(*parts: Path | str) -> str:
    """Return a digest of files' contents and of texts.

    >>> digest("a") == digest("a"), digest("a") == digest("b")
    (True, False)
    """
    result = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        result.update(len(data).to_bytes(8, "big") + data)
    return result.hexdigest()


def check_writable(option: str, path: Path) -> None:
    """Refuse a file that cannot be written, before the work that it is for; what is tried for that is taken away again.

    Args:
        option: That names the file.
        path: The file; its folder need not be there.

    Raises:
        OSError: If it cannot be written.
    """
    partial, made = _partial(path), []
    try:
        made = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise OSError(
            f"{option}: file must be one that can be written, not {path} ({error.strerror}); name another"
        ) from error
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    partial.write_text(text)
    partial.replace(path)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
