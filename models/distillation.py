"""Distillation: a network that is trained learns what another one, the teacher, says of each input."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.models.autoencoder_settings import AUTOENCODER
from bitwright.models.checkpoint import NetworkDescription, load
from bitwright.models.settings import TrainSettings
from bitwright.quant.recipe import Recipe
from bitwright.quant.values import values


class Teacher:
    """A trained network whose scores, and outputs of layers, a student is drawn to.

    Not a module: it is neither trained nor saved with its student.

    Args:
        network: Maps inputs to scores ``(N, classes)``; in eval mode.
        settings: Give temperature, weights and layers.
    """

    def __init__(self, network: nn.Module, settings: TrainSettings) -> None:
        self.network = network.eval()
        self.settings = settings
        self.features = watch(network, settings.distillation_layers)

    def loss(self, inputs: Tensor, scores: Tensor, own: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return how far a student is from the teacher: in its scores, and in the outputs of its layers.

        The first is ``T**2 KL(softmax(teacher / T) || softmax(student / T))``, the mean over the batch; the second the
        mean over layers and batch of the squared distance of the outputs, each first divided by its length.

        Sources: Hinton et al., Distilling the Knowledge in a Neural Network, arXiv:1503.02531, section 2; Romero et
        al., FitNets, arXiv:1412.6550, equation 3; lengths as in Zagoruyko and Komodakis, arXiv:1612.03928, equation 2.

        Args:
            inputs: ``(N, ...)``, as the student got them.
            scores: Of the student, ``(N, classes)``.
            own: Outputs of the student's layers, as `watch` notes them.
        """
        if next(self.network.parameters()).device != inputs.device:
            self.network.to(inputs.device)
        with torch.no_grad():
            wanted = values(self.network(inputs))
        temperature = self.settings.distillation_temperature
        softened = F.log_softmax(values(scores) / temperature, dim=1), F.log_softmax(wanted / temperature, dim=1)
        divergence = F.kl_div(*softened, reduction="batchmean", log_target=True) * temperature**2
        apart = [_distance(own[name], self.features[name]) for name in self.settings.distillation_layers]
        return divergence, torch.stack(apart).mean() if apart else torch.zeros((), device=inputs.device)


def watch(network: nn.Module, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return a table into which each pass through a network puts the outputs of some of its layers.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> outputs = watch(network, ["1"])
    >>> _ = network(torch.zeros(3, 1, 2, 2))
    >>> outputs["1"].shape
    torch.Size([3, 2])
    """
    outputs: dict[str, Tensor] = {}
    for name in layers:

        def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:  # noqa: ANN401 - torch's hook
            outputs[name] = values(output)

        network.get_submodule(name).register_forward_hook(note)
    return outputs


def load_teacher(settings: TrainSettings, student: NetworkDescription) -> Teacher:
    """Read the teacher that the settings name.

    Args:
        settings: Give the checkpoint, and the layers to compare.
        student: The network to be trained.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, is an autoencoder or of other inputs or classes, or a layer is not in both
            networks, called once, with outputs of one shape.
    """
    path = Path(settings.teacher)
    network, description = load(path, key="train.teacher")
    if description.model.kind == AUTOENCODER:
        raise ValueError(
            f"{path}: network of the teacher must give scores of classes, not be an {AUTOENCODER}; name another in "
            "train.teacher"
        )
    for name, theirs, ours in (
        ("input", description.input_shape, student.input_shape),
        ("classes", description.classes, student.classes),
    ):
        if theirs != ours:
            raise ValueError(
                f"{path}: {name} of the teacher must be {ours} as the student's, not {theirs}; name another in "
                "train.teacher"
            )
    _check_layers(settings.distillation_layers, network, student)
    return Teacher(network, settings)


def _distance(own: Tensor, wanted: Tensor) -> Tensor:
    ours, theirs = (F.normalize(tensor.flatten(1), dim=1) for tensor in (own, wanted))
    return (ours - theirs).square().sum(dim=1).mean()


def _check_layers(layers: Sequence[str], teacher: nn.Module, student: NetworkDescription) -> None:
    """Refuse layers that one of the networks does not have, or whose outputs are of different shapes."""
    if not layers:
        return
    plainly = replace(student, recipe=Recipe.floating()).build()  # without the parts of quantisers
    theirs = dict(teacher.named_modules())
    known = [name for name, part in plainly.named_modules() if not any(part.children()) and name in theirs]
    for name in layers:
        if name not in known:
            raise ValueError(
                f"train.distillation_layers: layer must be one of {', '.join(known)}, not {name!r}; "
                "both networks must have it"
            )
    ours, wanted = (
        _shapes(layers, network, student.input_shape, owner)
        for network, owner in ((student.build().eval(), "student"), (teacher, "teacher"))
    )
    for name in layers:
        if ours[name] != wanted[name]:
            raise ValueError(
                f"train.distillation_layers: outputs of {name} must have one shape in both networks, not {ours[name]} "
                f"in the student and {wanted[name]} in the teacher; leave it out"
            )


def _shapes(
    layers: Sequence[str], network: nn.Module, input_shape: tuple[int, ...], owner: str
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of layers' outputs, without the batch; refuse layers that have none, or several in a pass."""
    calls = dict.fromkeys(layers, 0)
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Any) -> None:  # noqa: ANN401 - torch's tensor, or Brevitas' own
        calls[name] += 1
        shapes[name] = tuple(values(output).shape[1:])

    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *of, name=name: note(name, of[-1])) for name in calls
    ]
    with torch.no_grad():
        network(torch.zeros(2, *input_shape))
    for hook in hooks:
        hook.remove()
    for name, count in calls.items():
        if count != 1:
            raise ValueError(
                f"train.distillation_layers: layer must be computed once in a pass, not {count} times in the {owner} "
                f"as {name} is; leave it out"
            )
    return shapes
