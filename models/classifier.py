"""What is trained: a network with its loss, its optimiser, and what happens around each step."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from bitwright.models.batch_norm_statistics import take_statistics
from bitwright.models.batches import evaluation_batches, mirrored, shifted, training_batches
from bitwright.models.checkpoint import SCALE
from bitwright.models.dataset import DataSet
from bitwright.models.distillation import Teacher, watch
from bitwright.models.progressive import keep_weights_float
from bitwright.models.pruning import keep_zero
from bitwright.models.settings import TrainSettings
from bitwright.quant.latent_weights import clip_latent_weights, weighted_layers
from bitwright.quant.sign_gradient import set_progress
from bitwright.quant.values import values

AVERAGE_STATISTICS_BATCHES = 100
"""From which the batch norms of averaged weights take their statistics, where the settings say nothing."""


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
        self.weighted = weighted_layers(network)
        self.average: AveragedModel | None = None
        self.settings = settings
        self.data = data
        self.seed = seed

    def average_weights(self) -> None:
        """Keep a moving average of the weights from now on, if the settings say so; once all scales are parameters."""
        if self.settings.average_weights:
            decay = get_ema_multi_avg_fn(self.settings.average_weights)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(self.network, multi_avg_fn=decay).requires_grad_(requires_grad=False)

    def outcome(self) -> nn.Module:
        """Return the network that is validated and kept."""
        return self.network if self.average is None else self.average.module

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
        short = self.settings.precision == "bfloat16"
        if inputs.dim() == 4:
            inputs = self._augmented(inputs)
            if short:  # convolutions of bfloat16 are faster where the channels of a pixel lie side by side
                inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=short):
            scores = values(self.network(inputs))
        scores = scores.float()
        loss = self.loss(scores, self.wanted(inputs, labels), self.settings.label_smoothing)
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
        enough = self.settings.batch_norm_batches or AVERAGE_STATISTICS_BATCHES * (self.average is not None)
        if enough:
            batches = islice(self._plain_batches(), enough)
            take_statistics(self.outcome(), (inputs.to(self.device) for inputs, _ in batches))

    def on_train_batch_end(self, *_: object) -> None:
        """Keep the latent weights of binary layers where they can still change sign, and pruned weights zero."""
        clip_latent_weights(self.weighted)
        keep_zero(self.network, self.zeros)
        if self.average is not None:
            self.average.update_parameters(self.network)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log accuracy and loss of one batch ``(B, ...), (B,)``."""
        inputs, labels = batch
        scores = self.outcome()(inputs)
        right = (scores.argmax(dim=1) == labels).float().mean()
        self.log("validation_accuracy", right, prog_bar=True, batch_size=len(labels), sync_dist=True)
        self.log("validation_loss", self.loss(scores, labels), batch_size=len(labels), sync_dist=True)

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

    def wanted(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return what the loss compares the outputs for ``(B, ...)`` with: the labels ``(B,)``."""
        return labels

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the loss of scores ``(B, classes)`` for labels ``(B,)``, the mean over the batch."""
        if self.settings.loss == "cross_entropy":
            return F.cross_entropy(values(scores), labels, label_smoothing=smoothing)
        signs = 2.0 * F.one_hot(labels, scores.shape[1]) - 1.0
        return torch.clamp(1.0 - signs * scores, min=0.0).square().mean()
