"""What a step is: its loss, its images, its optimiser; and what happens around it: the average, the clipped weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bitwright.models import training
from bitwright.models.batches import training_batches
from bitwright.models.checkpoint import SCALE, NetworkDescription, load, save
from bitwright.models.classifier import AVERAGE_STATISTICS_BATCHES, Classifier
from bitwright.models.dataset import DataSet
from bitwright.models.dataset import load as load_data
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training_state import ResumePoint
from bitwright.quant.recipe import Recipe

MLP = NetworkDescription(ModelSettings(hidden=(8, 8)), Recipe(), (1, 8, 8), 10)
SETTINGS = TrainSettings(epochs=3, batch_size=32, average_weights=0.75, keep="last", threads=1)
SEED = 3


def digits() -> DataSet:
    """A tenth of the digits."""
    data = load_data("digits")
    return replace(data, train=data.train.take(np.arange(144)), validation=data.validation.take(np.arange(60)))


def trained(folder: Path, settings: TrainSettings = SETTINGS) -> dict[str, Any]:
    training.train(MLP, settings, digits(), SEED, folder, report=lambda _: None)
    found: dict[str, Any] = load_file(folder / "checkpoint.safetensors")
    return found


def test_what_is_kept_is_the_moving_average_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[dict[str, torch.Tensor]] = []

    class Watched(Classifier):
        def on_train_batch_end(self, *of: object) -> None:
            super().on_train_batch_end(*of)
            steps.append({name: value.detach().clone() for name, value in self.network.named_parameters()})

    monkeypatch.setattr(training, "Classifier", Watched)
    kept = trained(tmp_path)
    assert len(steps) == SETTINGS.epochs * 4
    for name in steps[0]:
        average = steps[0][name].double()
        for step in steps[1:]:
            average = 0.75 * average + 0.25 * step[name].double()
        torch.testing.assert_close(kept[name].double(), average, rtol=1e-5, atol=1e-6)
        assert not torch.equal(kept[name], steps[-1][name])


def test_statistics_are_those_of_the_average(tmp_path: Path) -> None:
    trained(tmp_path)
    network, _ = load(tmp_path / "checkpoint.safetensors", MLP)
    data = digits()
    inputs = [x for x, _ in training_batches(data.train, data.input_scale, SETTINGS.batch_size, SEED)]
    assert len(inputs) < AVERAGE_STATISTICS_BATCHES
    seen: list[torch.Tensor] = []
    norm: Any = network.get_submodule("norm0")
    norm.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        for batch in inputs:
            network(batch)
    torch.testing.assert_close(norm.running_mean, torch.stack([batch.mean(dim=0) for batch in seen]).mean(dim=0))


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_killed_training_goes_on_with_the_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(tmp_path / "whole")
    save = ResumePoint.on_train_epoch_end

    def save_and_raise(self: ResumePoint, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401 - Lightning's
        save(self, trainer, pl_module)
        if trainer.current_epoch == 0:
            raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(ResumePoint, "on_train_epoch_end", save_and_raise)
        with pytest.raises(OSError, match="killed"):
            trained(tmp_path / "killed")
    assert same(trained(tmp_path / "killed"), whole)
    plain = trained(tmp_path / "plain", SETTINGS.model_copy(update={"average_weights": 0.0}))
    assert not same(plain, whole)


def test_latent_weights_of_binary_layers_are_clipped_after_every_step() -> None:
    binary = NetworkDescription(MLP.model, Recipe(weight_bit_width=1, activation_bit_width=1), (1, 8, 8), 10)
    layers = []
    for description in (binary, MLP):
        network: Any = description.build()
        classifier = Classifier(network, TrainSettings(), digits(), SEED)
        with torch.no_grad():
            network.fc1.weight.fill_(3.0)
        classifier.on_train_batch_end()
        layers.append(network.fc1.weight)
    assert [layer.unique().tolist() for layer in layers] == [[1.0], [3.0]]


class Given(nn.Module):
    """A network whose scores are given; it keeps the inputs that it saw."""

    def __init__(self, scores: list[list[float]]) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores))
        self.seen = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores, whatever the inputs."""
        self.seen = x
        return self.scores


SCORES = [[0.5, -2.0, 1.5], [-0.5, 2.0, 0.25]]
LABELS = [0, 2]


def attached(network: nn.Module, settings: dict[str, object], teacher: Any = None) -> Classifier:  # noqa: ANN401
    """A classifier as a training has it before its first step."""
    classifier = Classifier(network, TrainSettings.model_validate(settings), digits(), SEED, teacher)
    trainer: Any = SimpleNamespace(global_step=0, world_size=1, global_rank=0, estimated_stepping_batches=9)
    classifier.trainer = trainer
    return classifier


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """The loss of a training step on two inputs, nothing logged."""
    monkeypatch.setattr(Classifier, "log", lambda *_, **__: None)

    def loss(speaker: Any = None, **settings: object) -> float:  # noqa: ANN401 - a stand-in
        batch = torch.zeros(2, 4), torch.tensor(LABELS)
        return attached(Given(SCORES), settings, speaker).training_step(batch, 0).item()

    return loss


def cross_entropy(smoothing: float) -> float:
    """Of SCORES and LABELS, each label's share spread over all classes."""
    total = 0.0
    for row, label in zip(SCORES, LABELS, strict=True):
        powers = [math.exp(score) for score in row]
        for j, power in enumerate(powers):
            wanted = (1 - smoothing) * (j == label) + smoothing / len(row)
            total -= wanted * math.log(power / sum(powers))
    return total / len(SCORES)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_labels_of_a_step_are_smoothed(step: Callable[..., float], smoothing: float) -> None:
    assert step(label_smoothing=smoothing) == pytest.approx(cross_entropy(smoothing), rel=1e-6)


def test_squared_hinge_is_the_mean_square_of_what_a_margin_of_one_lacks(step: Callable[..., float]) -> None:
    # 1 - 0.5, 1 - 2 (below zero), 1 + 1.5; then 1 - 0.5, 1 + 2, 1 - 0.25
    squares = [0.5**2, 0.0, 2.5**2, 0.5**2, 3.0**2, 0.75**2]
    assert step(loss="squared_hinge") == pytest.approx(sum(squares) / 6, rel=1e-6) == 2.71875


@pytest.mark.parametrize(("share", "weight"), [(0.7, 2.5), (0.0, 1.0), (1.0, 0.0)])
def test_labels_scores_and_layers_have_their_weights_in_the_loss(
    step: Callable[..., float], share: float, weight: float
) -> None:
    teacher = SimpleNamespace(loss=lambda *_: (torch.tensor(3.0), torch.tensor(5.0)))
    found = step(teacher, teacher="x", distillation_weight=share, distillation_feature_weight=weight)
    assert found == pytest.approx((1 - share) * cross_entropy(0.0) + share * 3.0 + weight * 5.0, rel=1e-6)


@pytest.mark.parametrize("shift", [0, 1])
def test_images_of_a_step_are_mirrored_if_the_settings_say_so(monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    monkeypatch.setattr(Classifier, "log", lambda *_, **__: None)
    images = torch.arange(1.0, 7.0).expand(32, 1, 3, 6)  # each row rises from left to right
    falling = {}
    for flip in (True, False):
        network = Given([[0.0, 1.0]] * 32)
        batch = images, torch.zeros(32, dtype=torch.long)
        attached(network, {"flip": flip, "shift_pixels": shift}).training_step(batch, 0)
        assert bool((network.seen == images).all()) == (not flip and not shift)
        falling[flip] = int((network.seen[:, 0, 1, 2] > network.seen[:, 0, 1, 3]).sum())  # zeros come no farther in
    assert falling[False] == 0
    assert 8 < falling[True] < 24


@pytest.mark.parametrize(
    ("optimizer", "decay", "wanted"),
    [
        # Two steps from (1, -2) with the gradient (0.3, 0.2) and the rate 0.1. sgd: v = 0.9 v + gradient + decay w
        ("sgd", 0.0, [1 - 0.03 - 0.057, -2 - 0.02 - 0.038]),
        ("sgd", 0.5, [1 - 0.08 - 0.148, -2 + 0.08 + 0.148]),
        # adam: the same gradient again and again is one of size 1; the decay is a factor of 1 - 0.1 * 0.5 before
        ("adam", 0.0, [1 - 0.1 - 0.1, -2 - 0.1 - 0.1]),
        ("adam", 0.5, [(0.95 - 0.1) * 0.95 - 0.1, (-1.9 - 0.1) * 0.95 - 0.1]),
    ],
)
def test_optimizer_is_the_one_of_the_settings_with_their_decay(
    optimizer: str, decay: float, wanted: list[float]
) -> None:
    network = Given([[1.0, -2.0]])
    settings = {"optimizer": optimizer, "weight_decay": decay, "learning_rate": 0.1, "schedule": "constant"}
    made = attached(network, settings).configure_optimizers()["optimizer"]
    for _ in range(2):
        network.scores.grad = torch.tensor([[0.3, 0.2]])
        made.step()
    assert network.scores.tolist() == [pytest.approx(wanted, rel=1e-5)]


def test_training_starts_from_the_scales_of_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    trained(tmp_path / "first", TrainSettings(epochs=1, batch_size=32, threads=1))
    network, _ = load(tmp_path / "first/checkpoint.safetensors", MLP)
    scales = {name: value for name, value in network.state_dict().items() if name.endswith(SCALE)}
    for value in scales.values():
        value += 3  # logarithms: no batch would lead there
    save(path, network, MLP)
    again = trained(tmp_path / "again", TrainSettings(epochs=1, threads=1, start_from=str(path), learn_scales=False))
    assert len(scales) == 2
    assert all(torch.equal(again[name], value) for name, value in scales.items())
