"""Distillation: what the loss is, where the teacher stands, and which teachers are refused."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from bitwright.models.checkpoint import NetworkDescription, save
from bitwright.models.dataset import DataSet
from bitwright.models.dataset import load as load_data
from bitwright.models.distillation import Teacher, load_teacher, watch
from bitwright.models.settings import Kind, ModelSettings, TrainSettings
from bitwright.models.training import train
from bitwright.quant.brevitas_activations import STATISTICS_BATCHES
from bitwright.quant.recipe import Recipe

STUDENT = NetworkDescription(
    ModelSettings(hidden=(8, 8)), Recipe(weight_bit_width=1, activation_bit_width=1), (1, 8, 8), 10
)
LARGE = NetworkDescription(ModelSettings(hidden=(16, 8)), Recipe.floating(), (1, 8, 8), 10)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def digits() -> DataSet:
    data = load_data("digits")
    return replace(data, train=data.train.take(np.arange(144)), validation=data.validation.take(np.arange(60)))


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A network with random weights: enough to learn from."""
    torch.manual_seed(7)
    path = tmp_path / "teacher.safetensors"
    save(path, LARGE.build(), LARGE)
    return path


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_loss_is_the_divergence_of_softened_scores_and_the_distance_of_directions() -> None:
    torch.manual_seed(1)
    network = LARGE.build().eval()
    inputs, scores, own = torch.rand(5, 1, 8, 8), torch.randn(5, 10), torch.randn(5, 8)
    settings = TrainSettings(teacher="x", distillation_temperature=3.0, distillation_layers=("norm1",))
    divergence, apart = Teacher(network, settings).loss(inputs, scores, {"norm1": own})

    features = watch(network, ["norm1"])
    with torch.no_grad():
        wanted = network(inputs).double().numpy()
    p, q = softmax(wanted / 3.0), softmax(scores.double().numpy() / 3.0)
    theirs, ours = features["norm1"].double().numpy(), own.double().numpy()
    theirs, ours = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (theirs, ours))
    assert float(divergence) == pytest.approx(9.0 * (p * np.log(p / q)).sum(axis=1).mean(), rel=1e-5)
    assert float(apart) == pytest.approx(((ours - theirs) ** 2).sum(axis=1).mean(), rel=1e-5)


def test_teacher_is_neither_trained_nor_saved(tmp_path: Path, teacher: Path, digits: DataSet) -> None:
    before = load_file(teacher)
    settings = TrainSettings(epochs=1, batch_size=32, teacher=str(teacher), distillation_layers=("norm1",))
    train(STUDENT, settings, digits, 1, tmp_path, report=lambda _: None)
    after, student = load_file(teacher), load_file(tmp_path / "checkpoint.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert sorted(student) == sorted(name for name in STUDENT.build().state_dict())


def test_student_that_learns_from_the_teacher_alone_says_what_it_says(tmp_path: Path, digits: DataSet) -> None:
    """The labels are wrong, and have no weight: the student can only have it from the teacher."""
    torch.manual_seed(3)
    settings = TrainSettings(epochs=15, batch_size=16)
    train(LARGE, settings, digits, 1, tmp_path / "teacher", report=lambda _: None)
    wrong = replace(digits, train=replace(digits.train, labels=(digits.train.labels + 1) % 10))
    learning = settings.model_copy(
        update={"teacher": str(tmp_path / "teacher/checkpoint.safetensors"), "distillation_weight": 1.0}
    )
    described = replace(LARGE, recipe=Recipe())
    metrics = train(described, learning, wrong, 1, tmp_path / "student", report=lambda _: None)
    assert metrics["validation_accuracy"] > 0.6  # by chance: 0.1; by the wrong labels: 0


@pytest.mark.parametrize(
    ("changed", "settings", "message"),
    [
        (
            {"classes": 5},
            {},
            "{path}: classes of the teacher must be 5 as the student's, not 10; name another in train.teacher",
        ),
        (
            {"input_shape": (64,)},
            {},
            "{path}: input of the teacher must be (64,) as the student's, not (1, 8, 8); name another in train.teacher",
        ),
        (
            {},
            {"distillation_layers": ("norm7",)},
            "train.distillation_layers: layer must be one of input, flatten, fc0, norm0, act0, fc1, norm1, act1, out, "
            "out_norm, not 'norm7'; both networks must have it",
        ),
        (
            {},
            {"distillation_layers": ("norm0",)},
            "train.distillation_layers: outputs of norm0 must have one shape in both networks, not (8,) in the student "
            "and (16,) in the teacher; leave it out",
        ),
    ],
)
def test_teacher_that_does_not_fit_is_refused(
    teacher: Path, changed: dict[str, Any], settings: dict[str, object], message: str
) -> None:
    wanted = TrainSettings.model_validate({"teacher": str(teacher), **settings})
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=teacher))}$"):
        load_teacher(wanted, replace(STUDENT, **changed))


def test_autoencoder_is_no_teacher_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    description = replace(LARGE, model=ModelSettings(kind="autoencoder", hidden=(8, 4, 8)))
    save(path, description.build(), description)
    says = (
        f"{path}: network of the teacher must give scores of classes, not be an autoencoder; name another in "
        "train.teacher"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        load_teacher(TrainSettings(teacher=str(path)), STUDENT)


GATED = Recipe(weight_bit_width=1, activation_bit_width=2)


@pytest.mark.parametrize(
    ("kind", "students", "teachers", "layer", "says"),
    [
        ("fracbnn", GATED, Recipe.floating(), "block0_conv1", "2 times in the student"),
        ("fracbnn", Recipe.floating(), GATED, "block0_conv1", "2 times in the teacher"),
        ("fracbnn", GATED, Recipe.floating(), "thermometer.sign.act_quant._zero_hw_sentinel", "0 times in the student"),
        ("resnet8", Recipe(), Recipe.floating(), "block0_join2", "2 times in the student"),
    ],
)
def test_layer_that_is_not_computed_once_in_a_pass_is_refused(
    tmp_path: Path, kind: Kind, students: Recipe, teachers: Recipe, layer: str, says: str
) -> None:
    path = tmp_path / "teacher.safetensors"
    model = ModelSettings(kind=kind, channel_multiplier=0.0625)
    student, teacher = (NetworkDescription(model, recipe, (1, 8, 8), 10) for recipe in (students, teachers))
    network = teacher.build()
    with torch.no_grad():  # a checkpoint has the scales that are parameters
        for _ in range(0 if teachers.is_float else STATISTICS_BATCHES + 1):
            network(torch.rand(2, 1, 8, 8))
    save(path, network, teacher)
    whole = f"train.distillation_layers: layer must be computed once in a pass, not {says} as {layer} is; leave it out"
    wanted = TrainSettings(teacher=str(path), distillation_layers=("conv", layer))
    with pytest.raises(ValueError, match=f"^{re.escape(whole)}$"):
        load_teacher(wanted, student)


def test_file_that_is_no_teacher_stays_the_users(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("mine")
    says = (
        f"{path}: checkpoint must be a safetensors file, not 4 bytes of something else; name another in train.teacher"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        load_teacher(TrainSettings(teacher=str(path)), STUDENT)
