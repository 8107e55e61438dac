"""What survives of a training when its process is killed: the best weights so far, and where to go on."""

import math
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping


class KeepBest(Callback):
    """Saves the weights of the best epoch, the later of equal ones.

    Args:
        path: Where to save.
        save: Writes the weights to a path, whole or not at all.
        keep: What the best epoch is: that of the highest validation accuracy, of the lowest validation loss, the last.
    """

    def __init__(
        self, path: Path, save: Callable[[Path], None], keep: Literal["accuracy", "loss", "last"] = "accuracy"
    ) -> None:
        self.path = path
        self.save = save
        self.keep = keep
        self.best = -math.inf
        self.accuracy: float | None = None
        self.epoch = -1
        self.history: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the epoch's figures, and save if it is the best."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.history.append({"epoch": trainer.current_epoch, **figures})
        match self.keep:
            case "accuracy":
                merit = figures["validation_accuracy"]
            case "loss":
                merit = -figures["validation_loss"]
            case "last":
                merit = math.inf
        if merit >= self.best:
            self.best = merit
            self.accuracy, self.epoch = figures.get("validation_accuracy"), trainer.current_epoch
            if trainer.is_global_zero:
                self.save(self.path)

    @property
    def loss(self) -> float:
        """Validation loss of the best epoch."""
        return next(epoch["validation_loss"] for epoch in self.history if epoch["epoch"] == self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training must know."""
        return {"best": self.best, "accuracy": self.accuracy, "epoch": self.epoch, "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.accuracy, self.epoch, self.history = (state_dict[key] for key in ("accuracy", "epoch", "history"))
        self.best = state_dict["best"] if "best" in state_dict else state_dict["accuracy"]  # all that old states know


class StopEarly(EarlyStopping):
    """Lightning's early stopping, that also stops a training killed between its last epoch and its end."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train no further epoch if the resumed state says that the last one was enough."""
        trainer.should_stop = self.wait_count >= self.patience


class ResumePoint(Checkpoint):
    """Saves all that Lightning needs to go on, after every epoch, whole or not at all.

    Lightning calls a `Checkpoint` behind all other callbacks, early stopping included, whose states it saves.

    Args:
        path: Where to save.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = time.monotonic()
        self.seconds_before = 0.0

    @property
    def seconds(self) -> float:
        """How long the training has taken, up to the last whole epoch of every earlier start, and since this one's."""
        return self.seconds_before + time.monotonic() - self.started

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training must know."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.seconds_before = state_dict["seconds"]

    def check(self) -> None:
        """Refuse a file that is not whole: torch compares no checksums, and each kind of damage is an error of its own.

        Raises:
            ValueError: If the file is damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as file:
                damaged = file.testzip() is not None
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError):
            damaged = True
        if damaged:
            raise ValueError(
                f"{self.path}: state to resume from must be a whole file, not a damaged one; delete it and train again"
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write to a temporary name and rename: a kill while writing leaves the epoch before."""
        partial = self.path.with_name(f".{self.path.name}.partial")
        trainer.save_checkpoint(partial)  # every process takes part
        if trainer.is_global_zero:
            partial.replace(self.path)


class EpochLines(Callback):
    """Says one line an epoch, for logs and pipes.

    Args:
        report: Takes the line.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report = report

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say the epoch's figures."""
        if trainer.is_global_zero:
            figures = ", ".join(
                f"{name} {float(value):.4f}" for name, value in sorted(trainer.callback_metrics.items())
            )
            self.report(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {figures}")
