"""Training with Lightning: the loop, the schedule, the best checkpoint, and going on where it was killed."""

import contextlib
import json
import logging
import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bitwright.models.batch_norm_statistics import take_statistics
from bitwright.models.batches import evaluation_batches, mirrored, shifted, training_batches
from bitwright.models.checkpoint import SCALE, NetworkDescription, save, start_from
from bitwright.models.dataset import DataSet
from bitwright.models.distillation import Teacher, load_teacher, plain, watch
from bitwright.models.progressive import keep_weights_float
from bitwright.models.pruning import keep_zero, zeros_of
from bitwright.models.settings import TrainSettings
from bitwright.models.training_state import EpochLines, KeepBest, ResumePoint, StopEarly
from bitwright.quant.brevitas_activations import STATISTICS_BATCHES
from bitwright.quant.latent_weights import clip_latent_weights
from bitwright.quant.sign_gradient import set_progress


class Classifier(L.LightningModule):
    """A network, its loss and its optimiser.

    Args:
        network: Maps inputs to scores ``(N, classes)``.
        settings: How to train.
        data: Train and validation parts are used.
        seed: Gives order and augmentation of every epoch.
        teacher: A network that it learns from, beside the labels.
        zeros: Where the weights of a pruned network stay zero, as `zeros_of` returns it.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        data: DataSet,
        seed: int,
        teacher: Teacher | None = None,
        zeros: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.zeros = dict(zeros or {})
        self.teacher = teacher
        self.features = watch(network, settings.distillation_layers if teacher else ())
        self.network = network
        self.settings = settings
        self.data = data
        self.seed = seed

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Return this process' batches."""
        return training_batches(
            self.data.train,
            self.data.input_scale,
            self.settings.batch_size,
            self.seed,
            rank=self.trainer.global_rank,
            ranks=self.trainer.world_size,
        )

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Return the validation batches; every process sees all of them."""
        return evaluation_batches(self.data.validation, self.data.input_scale)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch ``(B, ...), (B,)``."""
        inputs, labels = batch
        if inputs.dim() == 4:
            inputs = self._augmented(inputs)
        scores = self.network(inputs)
        loss = self._loss(scores, labels, self.settings.label_smoothing)
        if self.teacher is not None:
            divergence, apart = self.teacher.loss(inputs, scores, self.features)
            share = self.settings.distillation_weight
            loss = (1 - share) * loss + share * divergence + self.settings.distillation_feature_weight * apart
        if not torch.isfinite(loss):
            raise ValueError(
                f"train: loss of step {self.trainer.global_step} must be finite, not {float(loss.detach())}; "
                "lower train.learning_rate"
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return loss

    def on_train_epoch_start(self) -> None:
        """Leave the weights float, as long as the settings say; tell gradients that follow the training where it is."""
        floating = self.current_epoch < self.settings.float_weights_share * self.settings.epochs
        keep_weights_float(self.network, floating=floating)
        set_progress(self.network, self.current_epoch / self.settings.epochs)

    def on_validation_epoch_start(self) -> None:
        """Validate the network as it will be: with its weights quantised, and the statistics of these weights."""
        keep_weights_float(self.network, floating=False)
        if self.settings.batch_norm_batches:
            batches = islice(self._plain_batches(), self.settings.batch_norm_batches)
            take_statistics(self.network, (inputs.to(self.device) for inputs, _ in batches))

    def on_train_batch_end(self, *_: object) -> None:
        """Keep the latent weights of binary layers where they can still change sign, and pruned weights zero."""
        clip_latent_weights(self.network)
        keep_zero(self.network, self.zeros)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log accuracy and loss of one batch."""
        inputs, labels = batch
        scores = self.network(inputs)
        right = (scores.argmax(dim=1) == labels).float().mean()
        self.log("validation_accuracy", right, prog_bar=True, batch_size=len(labels), sync_dist=True)
        self.log("validation_loss", self._loss(scores, labels), batch_size=len(labels), sync_dist=True)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own union of nine types
        """Return the optimiser and its schedule, one step a batch."""
        settings = self.settings
        named = self.network.named_parameters()
        parameters = [value for name, value in named if settings.learn_scales or not name.endswith(SCALE)]
        optimizer: torch.optim.Optimizer
        if settings.optimizer == "adam":
            optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        else:
            optimizer = torch.optim.SGD(
                parameters, lr=settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay
            )
        steps = max(2, int(self.trainer.estimated_stepping_batches))
        schedule: torch.optim.lr_scheduler.LRScheduler
        match settings.schedule:
            case "one_cycle":
                schedule = torch.optim.lr_scheduler.OneCycleLR(
                    optimizer, max_lr=settings.learning_rate, total_steps=steps, cycle_momentum=False
                )
            case "cosine":
                schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
            case "constant":
                schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _plain_batches(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Return training batches of all processes, as every epoch of the same seed begins."""
        return training_batches(self.data.train, self.data.input_scale, self.settings.batch_size, self.seed)

    def _augmented(self, images: Tensor) -> Tensor:
        """Return the images ``(B, C, H, W)`` moved and mirrored, by the seed and the step alone."""
        settings = self.settings
        if not (settings.shift_pixels or settings.flip):
            return images
        step = self.trainer.global_step * self.trainer.world_size + self.trainer.global_rank
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        moved = shifted(images.cpu(), settings.shift_pixels, generator)
        return (mirrored(moved, generator) if settings.flip else moved).to(images.device)

    def _loss(self, scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        if self.settings.loss == "cross_entropy":
            return F.cross_entropy(plain(scores), labels, label_smoothing=smoothing)
        signs = 2.0 * F.one_hot(labels, scores.shape[1]) - 1.0
        return torch.clamp(1.0 - signs * scores, min=0.0).square().mean()


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
        What stands in ``metrics.json``: ``best_epoch``, ``validation_accuracy``, ``epochs``, ``history``, ``seconds``.

    Raises:
        ValueError: If the loss ceases to be finite, the state to resume from cannot be read, or the teacher does not
            fit.
        KeyboardInterrupt: If the user interrupted it; what was trained is kept.
        OSError: If the folder cannot be written.
    """
    started = time.monotonic()
    L.seed_everything(seed, verbose=False)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    state = folder / "training"
    state.mkdir(parents=True, exist_ok=True)
    resume = ResumePoint(state / "resume.ckpt")
    network = description.build().train()  # networks share a module of Brevitas', which another may have left in eval
    teacher = load_teacher(settings, description) if settings.teacher else None
    zeros = zeros_of(Path(settings.start_from), network) if settings.keep_zeros else {}
    classifier = Classifier(network, settings, data, seed, teacher, zeros)
    best = KeepBest(folder / "checkpoint.safetensors", lambda path: save(path, network, description), settings.keep)
    callbacks: list[Callback] = [best, resume]
    if settings.early_stop_epochs:
        callbacks.append(StopEarly("validation_accuracy", mode="max", patience=settings.early_stop_epochs))
    callbacks.append(RichProgressBar(leave=False) if report is None else EpochLines(report))
    with _quiet_lightning(), _plain_refusals():
        trainer = L.Trainer(
            max_epochs=settings.epochs,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
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
        _fit(trainer, classifier, resume.path)
    metrics = {
        "epochs": len(best.history),
        "best_epoch": best.epoch,
        "validation_accuracy": best.accuracy,
        "seconds": round(time.monotonic() - started, 1),
        "history": best.history,
    }
    if trainer.is_global_zero:
        partial = folder / ".metrics.json.partial"
        partial.write_text(json.dumps(metrics, indent=2) + "\n")
        partial.replace(folder / "metrics.json")
        resume.path.unlink(missing_ok=True)
    return metrics


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
