"""What is trained of an autoencoder: the network, and how far its outputs are from its inputs."""

from torch import Tensor
from torch.nn import functional as F

from bitwright.models.classifier import Classifier
from bitwright.quant.values import values


class Reconstruction(Classifier):
    """An autoencoder, its loss and its optimiser; the data's labels serve for nothing.

    What it is to give back is the input that the network gets: scaled, and moved where images are moved.
    """

    def wanted(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the inputs, flat ``(B, values)``."""
        return inputs.flatten(1)

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean squared error of outputs to inputs, both ``(B, values)``."""
        return F.mse_loss(values(scores), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the loss of one batch ``(B, ...), (B,)``."""
        inputs, labels = batch
        loss = self.loss(self.outcome()(inputs), self.wanted(inputs, labels))
        self.log("validation_loss", loss, prog_bar=True, batch_size=len(labels), sync_dist=True)
