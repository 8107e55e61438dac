"""Experiments of configs/ that name a teacher: it is trained first, where the benchmark's runs lie."""

from pathlib import Path
from typing import Any

import pytest

from bitwright.cli import benchmark_teacher
from bitwright.cli.benchmark_teacher import CONFIGS, taught
from bitwright.cli.experiment import read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_train import training_key

WITH_TEACHER = sorted(path.stem for path in CONFIGS.glob("*.toml") if read(path).train.teacher)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Names and folders of what would be trained."""
    runs: list[tuple[str, Path]] = []

    def train(experiment: Any, run: RunFolder, _: object) -> None:  # noqa: ANN401 - an experiment
        runs.append((experiment.name, run.path))

    monkeypatch.setattr(benchmark_teacher, "train", train)
    return runs


@pytest.mark.parametrize("config", WITH_TEACHER)
def test_teacher_is_the_float_experiment_of_its_folders_name(
    config: str, tmp_path: Path, trained: list[tuple[str, Path]]
) -> None:
    experiment = taught(config, ["seed=3", "name=other"], tmp_path, None)
    ((name, folder),) = trained
    assert folder == tmp_path / name
    assert read(CONFIGS / f"{name}.toml").recipe.is_float
    assert (experiment.name, experiment.seed) == ("other", 3)
    assert experiment.train.teacher == str(folder / "checkpoint.safetensors")
    assert f"configs/{name}.toml" in (CONFIGS / f"{config}.toml").read_text()


def test_teacher_that_is_finished_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[str, Path]]
) -> None:
    asked: list[tuple[Any, ...]] = []

    def is_current(run: RunFolder, stage: str, key: str, *, present: list[Path]) -> bool:
        asked.append((run.path, stage, key, *present))
        return True

    monkeypatch.setattr(RunFolder, "is_current", is_current)
    taught("mnist_sfc_w2a2", [], tmp_path, None)
    folder = RunFolder(tmp_path / "mnist_lenet5_float")
    key = training_key(read(CONFIGS / "mnist_lenet5_float.toml"), folder)
    assert asked == [(folder.path, "train", key, folder.checkpoint, folder.metrics)]
    assert trained == []


def test_experiment_without_a_teacher_trains_nothing_first(tmp_path: Path, trained: list[tuple[str, Path]]) -> None:
    assert taught("mnist_tfc_w1a1", ["seed=2"], tmp_path, None) == read(CONFIGS / "mnist_tfc_w1a1.toml", ["seed=2"])
    assert trained == []
