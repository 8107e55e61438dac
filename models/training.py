"""Training with Lightning: the loop, the schedule, the best checkpoint, and going on where it was killed."""

import contextlib
import json
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import nn

from bitwright.models.autoencoder_settings import check_training
from bitwright.models.batches import training_batches
from bitwright.models.checkpoint import NetworkDescription, save, start_from
from bitwright.models.classifier import Classifier
from bitwright.models.dataset import DataSet
from bitwright.models.distillation import load_teacher
from bitwright.models.figure import figure_of
from bitwright.models.freed_memory import freed_memory_kept
from bitwright.models.hardware import trained_on
from bitwright.models.pruning import zeros_of
from bitwright.models.reconstruction import Reconstruction
from bitwright.models.settings import TrainSettings
from bitwright.models.training_state import EpochLines, KeepBest, ResumePoint, StopEarly
from bitwright.models.versions import versions
from bitwright.quant.brevitas_activations import STATISTICS_BATCHES


def train(
    description: NetworkDescription,
    settings: TrainSettings,
    data: DataSet,
    seed: int,
    folder: Path,
    *,
    report: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a network; write ``checkpoint.safetensors`` (the best epoch) and ``metrics.json``.

    Killed at any moment and called again, it goes on after the last whole epoch and ends with the same weights as if it
    had not been killed, on the same machine with as many threads.

    Args:
        description: The network.
        settings: How to train it.
        data: What to train it on.
        seed: Of weights, order and augmentation.
        folder: The run's folder; ``training/`` in it holds the state to resume from, and the log.
        report: Told one line an epoch; without it a progress bar is shown.

    Returns:
        What stands in ``metrics.json``: ``best_epoch``, ``validation_accuracy`` (of an autoencoder
        ``validation_mean_squared_error``), ``epochs``, ``history``, ``seconds`` (of all starts together), and the
        ``hardware`` and ``versions`` of the last start.

    Raises:
        ValueError: If the loss is not one of this network's, or ceases to be finite, the state to resume from cannot be
            read, or the teacher does not fit.
        KeyboardInterrupt: If the user interrupted it; what was trained is kept.
        OSError: If the folder cannot be written.
    """
    check_training(description.model, settings)
    L.seed_everything(seed, verbose=False)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    state = folder / "training"
    state.mkdir(parents=True, exist_ok=True)
    resume = ResumePoint(state / "resume.ckpt")
    network = description.build().train()  # networks share a module of Brevitas', which another may have left in eval
    teacher = load_teacher(settings, description) if settings.teacher else None
    zeros = zeros_of(Path(settings.start_from), network) if settings.keep_zeros else {}
    of_classes = figure_of(description.model.kind) == "accuracy"
    classifier = (Classifier if of_classes else Reconstruction)(network, settings, data, seed, teacher, zeros)
    best = KeepBest(
        folder / "checkpoint.safetensors", lambda path: save(path, classifier.outcome(), description), settings.keep
    )
    callbacks: list[Callback] = [best, resume]
    if settings.early_stop_epochs:
        watched, mode = ("validation_accuracy", "max") if of_classes else ("validation_loss", "min")
        callbacks.append(StopEarly(watched, mode=mode, patience=settings.early_stop_epochs))
    callbacks.append(RichProgressBar(leave=False) if report is None else EpochLines(report))
    with _quiet_lightning(), _plain_refusals(), freed_memory_kept():
        trainer = L.Trainer(
            max_epochs=settings.epochs,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            strategy=_strategy(settings),
            callbacks=callbacks,
            logger=_logger(settings, state),
            enable_progress_bar=report is None,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
            deterministic=True,
        )
        if resume.path.exists():
            resume.check()
        else:
            if settings.start_from:
                start_from(Path(settings.start_from), network)
            _collect_ranges(network, data, settings, seed)
        classifier.average_weights()
        _fit(trainer, classifier, resume.path)
    metrics = {
        "epochs": len(best.history),
        "best_epoch": best.epoch,
        **({"validation_accuracy": best.accuracy} if of_classes else {"validation_mean_squared_error": best.loss}),
        "seconds": round(resume.seconds, 1),
        "hardware": trained_on(trainer.strategy.root_device.type, trainer.world_size, torch.get_num_threads()),
        "versions": versions(),
        "history": best.history,
    }
    if trainer.is_global_zero:
        partial = folder / ".metrics.json.partial"
        partial.write_text(json.dumps(metrics, indent=2) + "\n")
        partial.replace(folder / "metrics.json")
        resume.path.unlink(missing_ok=True)
    return metrics


def _strategy(settings: TrainSettings) -> str:
    """Return how processes train together: while weights are float, nothing uses the scales that are parameters."""
    several = settings.devices * settings.nodes > 1
    return "ddp_find_unused_parameters_true" if several and settings.float_weights_share else "auto"


@contextlib.contextmanager
def _plain_refusals() -> Iterator[None]:
    """Turn what Lightning and torch say of settings that this machine cannot serve into a refusal."""
    try:
        yield
    except MisconfigurationException as error:
        raise ValueError(
            f"train: accelerator and devices must be ones that are here, not others ({str(error).splitlines()[0]}); "
            "set train.accelerator=cpu"
        ) from error


def _fit(trainer: L.Trainer, classifier: Classifier, resume: Path) -> None:
    try:
        trainer.fit(classifier, ckpt_path=str(resume) if resume.exists() else None, weights_only=True)
    except (RuntimeError, KeyError, pickle.UnpicklingError) as error:
        if resume.exists() and trainer.global_step == 0:
            raise ValueError(
                f"{resume}: state to resume from must be of this network, not of another; delete it and train again"
            ) from error
        raise
    except SystemExit:
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from None  # which Lightning turns into an exit


def _collect_ranges(network: nn.Module, data: DataSet, settings: TrainSettings, seed: int) -> None:
    """Let Brevitas' activation quantisers see data until their scales are parameters.

    While they still collect, the count of batches seen is not part of the state that Lightning saves, and a training
    resumed in that time would not be the same.
    """
    network.train()
    seen = 0
    with torch.no_grad():
        while seen <= STATISTICS_BATCHES:
            for inputs, _ in training_batches(data.train, data.input_scale, settings.batch_size, seed):
                network(inputs)
                seen += 1
                if seen > STATISTICS_BATCHES:
                    break


def _logger(settings: TrainSettings, folder: Path) -> Logger:
    if settings.logger == "csv":
        return CSVLogger(folder, name="csv")
    return TensorBoardLogger(folder, name="tensorboard")


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence advice that does not apply: worker processes for tensors in memory, and tips."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning_utilities")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*Experiment logs directory.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
