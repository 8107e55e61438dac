"""Training: the same weights from the same seed, killed or not."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bitwright.models import classifier, training, training_state
from bitwright.models.batches import SplitBatches, training_batches
from bitwright.models.checkpoint import SCALE, NetworkDescription, load
from bitwright.models.dataset import DataSet
from bitwright.models.dataset import load as load_data
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training import train
from bitwright.models.training_state import KeepBest, ResumePoint
from bitwright.quant.recipe import Recipe

MLP = NetworkDescription(ModelSettings(hidden=(8, 8)), Recipe(), (1, 8, 8), 10)
BINARY = replace(MLP, recipe=Recipe(weight_bit_width=1, activation_bit_width=1))
SETTINGS = TrainSettings(epochs=4, batch_size=32, shift_pixels=1)
SEED = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def digits() -> DataSet:
    """A tenth of the digits: enough to learn a little."""
    data = load_data("digits")
    return replace(data, train=data.train.take(np.arange(144)), validation=data.validation.take(np.arange(60)))


def trained(
    folder: Path, settings: TrainSettings = SETTINGS, *, description: NetworkDescription = MLP, seed: int = SEED
) -> dict[str, Any]:
    """What a training leaves but for its duration: its metrics and its best weights, as lists."""
    metrics = train(description, settings, digits(), seed, folder, report=lambda _: None)
    assert metrics == json.loads((folder / "metrics.json").read_text())
    assert metrics.pop("seconds") >= 0
    weights = {name: value.tolist() for name, value in load_file(folder / "checkpoint.safetensors").items()}
    return metrics | {"weights": weights}


def files(folder: Path) -> list[str]:
    """The files of a run but its logs."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "csv" not in path.parts and "tensorboard" not in path.parts
    )


def interrupt(monkeypatch: pytest.MonkeyPatch, after_epoch: int, error: BaseException) -> None:
    """Let an epoch end in an error, once its state is saved."""
    save = ResumePoint.on_train_epoch_end

    def save_and_raise(self: ResumePoint, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401 - Lightning's
        save(self, trainer, pl_module)
        if trainer.current_epoch == after_epoch:
            raise error

    monkeypatch.setattr(ResumePoint, "on_train_epoch_end", save_and_raise)


SCRIPT = """
import sys
from pathlib import Path

import numpy as np
import torch

from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.dataset import load
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training import train
from bitwright.quant.recipe import Recipe
from dataclasses import replace

torch.set_num_threads(1)
folder, seed, model, recipe, settings = sys.argv[1:]
data = load("digits")
data = replace(data, train=data.train.take(np.arange(144)), validation=data.validation.take(np.arange(60)))
description = NetworkDescription(
    ModelSettings.model_validate_json(model), Recipe.model_validate_json(recipe), (1, 8, 8), 10
)
train(description, TrainSettings.model_validate_json(settings), data, int(seed), Path(folder), report=str)
"""


def kill_after_an_epoch(folder: Path, settings: TrainSettings, description: NetworkDescription) -> None:
    """Run the training of `trained` in a process of its own, and kill it when it has saved an epoch or more."""
    parts = (description.model.model_dump_json(), description.recipe.model_dump_json(), settings.model_dump_json())
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(SEED), *parts])
    resume = folder / "training/resume.ckpt"
    while not resume.exists():
        assert process.poll() is None, "the training ended before it was killed"
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    assert trained(tmp_path / "a") == trained(tmp_path / "b")


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    assert trained(tmp_path / "a")["weights"] != trained(tmp_path / "b", seed=SEED + 1)["weights"]


@pytest.mark.parametrize("description", [MLP, BINARY], ids=["fixed", "binary"])
def test_training_that_was_killed_ends_as_the_one_that_was_not(tmp_path: Path, description: NetworkDescription) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 16})
    whole = trained(tmp_path / "whole", settings, description=description)
    kill_after_an_epoch(tmp_path / "killed", settings, description)
    assert not (tmp_path / "killed/metrics.json").exists()
    assert trained(tmp_path / "killed", settings, description=description) == whole
    assert files(tmp_path / "killed") == files(tmp_path / "whole") == ["checkpoint.safetensors", "metrics.json"]


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("after_epoch", [0, 3])
def test_training_goes_on_where_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str, optimizer: str, after_epoch: int
) -> None:
    settings = TrainSettings.model_validate(SETTINGS.model_dump() | {"schedule": schedule, "optimizer": optimizer})
    whole = trained(tmp_path / "whole", settings)
    with monkeypatch.context() as patched:
        interrupt(patched, after_epoch, OSError("disk"))
        with pytest.raises(OSError, match=r"^disk$"):
            trained(tmp_path / "failed", settings)
    assert (tmp_path / "failed/training/resume.ckpt").exists()
    assert trained(tmp_path / "failed", settings) == whole


def test_seconds_are_of_all_starts_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def report(_: str) -> None:
        now[0] += 10  # an epoch takes so long

    monkeypatch.setattr(training_state, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with monkeypatch.context() as patched:
        interrupt(patched, 1, OSError("disk"))
        with pytest.raises(OSError, match=r"^disk$"):
            train(MLP, SETTINGS, digits(), SEED, tmp_path, report=report)
    now[0] += 1000  # until it is called again
    assert train(MLP, SETTINGS, digits(), SEED, tmp_path, report=report)["seconds"] == 10 * SETTINGS.epochs


def test_gradients_are_told_the_share_of_the_epochs_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(classifier, "set_progress", lambda _, progress: told.append(progress))
    with monkeypatch.context() as patched:
        interrupt(patched, 1, OSError("disk"))
        with pytest.raises(OSError, match=r"^disk$"):
            trained(tmp_path)
    trained(tmp_path)
    assert told == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("gradient", ["tanh", "reste"])
def test_gradient_that_follows_the_training_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gradient: str
) -> None:
    recipe = Recipe.model_validate({**BINARY.recipe.model_dump(), "sign_gradient": gradient})
    description = replace(BINARY, recipe=recipe)
    whole = trained(tmp_path / "whole", description=description)
    with monkeypatch.context() as patched:
        interrupt(patched, 1, OSError("disk"))
        with pytest.raises(OSError, match=r"^disk$"):
            trained(tmp_path / "failed", description=description)
    assert trained(tmp_path / "failed", description=description) == whole
    assert trained(tmp_path / "clipped", description=BINARY)["weights"] != whole["weights"]


def test_interrupt_of_the_user_is_handed_on_and_keeps_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupt(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert files(tmp_path) == ["checkpoint.safetensors", "training/resume.ckpt"]


def test_exit_that_nobody_interrupted_stays_an_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*_: object, **__: object) -> None:
        raise SystemExit(7)

    monkeypatch.setattr("lightning.Trainer.fit", leave)
    with pytest.raises(SystemExit, match=r"^7$"):
        trained(tmp_path)


def damaged(content: bytes, kind: str) -> bytes:
    """A resume point with one kind of damage."""
    middle = len(content) // 2
    return {
        "empty": b"",
        "text": b"junk",
        "photograph": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(300),
        "cut off": content[:middle],
        "one byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "text", "photograph", "cut off", "one byte"])
def test_damaged_state_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with monkeypatch.context() as patched:
        interrupt(patched, 0, OSError("disk"))
        with pytest.raises(OSError, match=r"^disk$"):
            trained(tmp_path)
    resume = tmp_path / "training/resume.ckpt"
    resume.write_bytes(damaged(resume.read_bytes(), kind))
    says = f"{resume}: state to resume from must be a whole file, not a damaged one; delete it and train again"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        trained(tmp_path)


def test_state_of_another_network_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        interrupt(patched, 0, OSError("disk"))
        with pytest.raises(OSError, match=r"^disk$"):
            trained(tmp_path)
    resume = tmp_path / "training/resume.ckpt"
    says = f"{resume}: state to resume from must be of this network, not of another; delete it and train again"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        trained(tmp_path, description=replace(MLP, model=ModelSettings(hidden=(9, 8))))


def test_early_stop_ends_the_training_when_accuracy_has_not_risen(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 50, "early_stop_epochs": 2, "learning_rate": 1e-9})
    history = trained(tmp_path, settings)["history"]
    accuracies = [epoch["validation_accuracy"] for epoch in history]
    risen = [i for i in range(len(accuracies)) if accuracies[i] > max(accuracies[:i], default=-1.0)]
    assert len(history) == risen[-1] + 3 < 50


@pytest.mark.parametrize("epochs_before", [1, 2, 3])
def test_early_stop_comes_after_the_same_epoch_when_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs_before: int
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 50, "early_stop_epochs": 2, "learning_rate": 1e-9})
    whole = trained(tmp_path / "whole", settings)
    with monkeypatch.context() as patched:
        interrupt(patched, len(whole["history"]) - epochs_before, OSError("disk"))
        with pytest.raises(OSError, match=r"^disk$"):
            trained(tmp_path / "killed", settings)
    assert trained(tmp_path / "killed", settings) == whole


def test_loss_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30, "loss": "squared_hinge", "schedule": "constant"})
    says = r"^train: loss of step \d+ must be finite, not (nan|inf); lower train\.learning_rate$"
    with pytest.raises(ValueError, match=says):
        trained(tmp_path, settings, description=replace(MLP, recipe=Recipe.floating()))
    assert files(tmp_path) == []


def test_checkpoint_is_of_the_latest_epoch_of_the_highest_validation_accuracy(tmp_path: Path) -> None:
    metrics = trained(tmp_path, SETTINGS.model_copy(update={"epochs": 8}))
    accuracies = [epoch["validation_accuracy"] for epoch in metrics["history"]]
    best = max(range(8), key=lambda epoch: (accuracies[epoch], epoch))
    assert (metrics["best_epoch"], metrics["validation_accuracy"]) == (best, accuracies[best])
    network, _ = load(tmp_path / "checkpoint.safetensors", MLP)
    held = digits().validation
    scores = network(torch.from_numpy(held.inputs).float() / 16)
    right = (scores.argmax(dim=1) == torch.from_numpy(held.labels)).float().mean()
    assert float(right) == metrics["validation_accuracy"]


@pytest.mark.parametrize("keep", ["loss", "last"])
def test_checkpoint_is_of_the_epoch_that_is_asked_for(
    keep: Literal["loss", "last"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 5, "learning_rate": 0.1, "keep": keep})
    metrics = trained(tmp_path / "whole", settings)
    losses = [epoch["validation_loss"] for epoch in metrics["history"]]
    best = 4 if keep == "last" else min(range(5), key=lambda epoch: (losses[epoch], -epoch))
    assert metrics["best_epoch"] == best
    assert metrics["validation_accuracy"] == metrics["history"][best]["validation_accuracy"]
    with monkeypatch.context() as patch:
        interrupt(patch, 2, OSError("killed"))
        with pytest.raises(OSError, match="killed"):
            trained(tmp_path / "killed", settings)
    assert trained(tmp_path / "killed", settings) == metrics


def test_state_of_a_training_before_there_was_a_choice_goes_on(tmp_path: Path) -> None:
    best = KeepBest(tmp_path / "checkpoint", lambda _: None)
    best.load_state_dict({"accuracy": 0.75, "epoch": 3, "history": []})
    assert (best.best, best.accuracy, best.epoch) == (0.75, 0.75, 3)


def test_scales_stay_where_the_first_batches_put_them(tmp_path: Path) -> None:
    kept, learned = (
        trained(tmp_path / str(learn), SETTINGS.model_copy(update={"learn_scales": learn}))["weights"]
        for learn in (False, True)
    )
    once = trained(tmp_path / "once", SETTINGS.model_copy(update={"learn_scales": False, "epochs": 1}))["weights"]
    scales = [name for name in kept if name.endswith(SCALE)]
    assert scales
    assert all(kept[name] == once[name] for name in scales)
    assert all(kept[name] != learned[name] for name in scales if "act" in name)


def test_statistics_are_those_of_the_weights_that_are_kept(tmp_path: Path) -> None:
    trained(tmp_path, SETTINGS.model_copy(update={"batch_norm_batches": 3}))
    network, _ = load(tmp_path / "checkpoint.safetensors", MLP)
    data = digits()
    inputs = [x for x, _ in training_batches(data.train, data.input_scale, SETTINGS.batch_size, SEED)][:3]
    seen: list[torch.Tensor] = []
    norm: Any = network.get_submodule("norm0")
    norm.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        for batch in inputs:
            network(batch)
    expected = torch.stack([batch.mean(dim=0) for batch in seen]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, expected)


def test_every_epoch_sees_the_training_images_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    item = SplitBatches.__getitem__

    def noted(self: SplitBatches, positions: list[int]) -> Any:  # noqa: ANN401 - as the method it stands for
        seen.append(positions)
        return item(self, positions)

    monkeypatch.setattr(SplitBatches, "__getitem__", noted)
    monkeypatch.setattr(training, "_collect_ranges", lambda *_: None)
    trained(tmp_path, SETTINGS.model_copy(update={"epochs": 2}))
    batches = [positions for positions in seen if len(positions) == 32]
    assert len(batches) == 8
    assert batches[:4] != batches[4:]


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_log_is_written_as_the_settings_have_it(tmp_path: Path, logger: str) -> None:
    trained(tmp_path, TrainSettings.model_validate(SETTINGS.model_dump() | {"logger": logger, "epochs": 1}))
    assert [path.name for path in (tmp_path / "training").iterdir()] == [logger]
    assert files(tmp_path) == ["checkpoint.safetensors", "metrics.json"]


def test_latent_weights_of_a_binary_network_stay_where_they_can_change_sign(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 0.5, "schedule": "constant"})
    trained(tmp_path, settings, description=BINARY)
    tensors = load_file(tmp_path / "checkpoint.safetensors")
    largest = {name: float(tensors[f"{name}.weight"].abs().max()) for name in ("fc0", "fc1", "out")}
    assert largest == {"fc0": 1.0, "fc1": 1.0, "out": 1.0}


def test_one_line_an_epoch_is_reported(tmp_path: Path) -> None:
    lines: list[str] = []
    metrics = train(MLP, SETTINGS, digits(), SEED, tmp_path, report=lines.append)
    assert [line.partition(":")[0] for line in lines] == [f"epoch {n} of 4" for n in (1, 2, 3, 4)]
    last = metrics["history"][-1]
    figures = ", ".join(f"{name} {last[name]:.4f}" for name in ("train_loss", "validation_accuracy", "validation_loss"))
    assert lines[-1] == f"epoch 4 of 4: {figures}"


def test_without_a_report_a_progress_bar_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(MLP, SETTINGS.model_copy(update={"epochs": 1}), digits(), SEED, tmp_path)
    assert "Epoch 0/0" in capsys.readouterr().out
