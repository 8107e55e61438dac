"""Experiments of configs/ that name other runs: those are made first, where the benchmark's runs lie."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli import benchmark_origins
from bitwright.cli.benchmark_origins import CONFIGS, prepared
from bitwright.cli.experiment import read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_train import training_key

WITH_TEACHER = sorted(path.stem for path in CONFIGS.glob("*.toml") if read(path).train.teacher)
WITH_START = sorted(path.stem for path in CONFIGS.glob("*.toml") if read(path).train.start_from)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, Path]]:
    """Names, seeds and folders of what would be trained."""
    runs: list[tuple[str, int, Path]] = []

    def train(experiment: Any, run: RunFolder, _: object) -> None:  # noqa: ANN401 - an experiment
        runs.append((experiment.name, experiment.seed, run.path))

    monkeypatch.setattr(benchmark_origins, "train", train)
    return runs


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, list[str], dict[str, int], str]]:
    """What would be calibrated: from where, with which overrides, to which widths, and how it is rounded."""
    runs: list[tuple[Path, list[str], dict[str, int], str]] = []

    def calibrate(
        source: Path,
        runs_dir: Path,
        _: object,
        overrides: Iterable[str],
        widths: Mapping[str, int],
        settings: CalibrationSettings,
        name: str | None,
    ) -> RunFolder:
        assert name is None
        assert not settings.fold
        runs.append((source, list(overrides), dict(widths), settings.rounding))
        return RunFolder(runs_dir / f"{source.name}_ptq")

    monkeypatch.setattr(benchmark_origins, "calibrate", calibrate)
    return runs


@pytest.mark.parametrize("config", WITH_TEACHER)
@pytest.mark.usefixtures("calibrated")
def test_teacher_is_the_float_experiment_of_its_folders_name(
    config: str, tmp_path: Path, trained: list[tuple[str, int, Path]]
) -> None:
    experiment = prepared(config, 3, "other", tmp_path, None)
    name, seed, folder = trained[0]
    assert folder == tmp_path / name
    assert read(CONFIGS / f"{name}.toml").recipe.is_float
    assert seed == read(CONFIGS / f"{name}.toml").seed
    assert (experiment.name, experiment.seed) == ("other", 3)
    assert experiment.train.teacher == str(folder / "checkpoint.safetensors")
    assert f"configs/{name}.toml" in (CONFIGS / f"{config}.toml").read_text()


@pytest.mark.parametrize("config", WITH_START)
def test_start_is_calibrated_from_a_float_network_of_the_seed(
    config: str,
    tmp_path: Path,
    trained: list[tuple[str, int, Path]],
    calibrated: list[tuple[Path, list[str], dict[str, int], str]],
) -> None:
    recipe = read(CONFIGS / f"{config}.toml").recipe
    experiment = prepared(config, 3, "other", tmp_path, None)
    name, seed, folder = trained[-1]
    assert (name, seed) == (folder.name, 3)
    assert name.endswith("_float_s3")
    ((source, overrides, widths, rounding),) = calibrated
    assert (source, rounding) == (folder, "learned")
    assert overrides == [f"recipe.weight_scale={recipe.weight_scale}"]
    assert widths == {
        "weight_bit_width": recipe.weight_bit_width,
        "activation_bit_width": recipe.activation_bit_width,
        "input_bit_width": recipe.input_bit_width,
    }
    assert experiment.train.start_from == str(tmp_path / f"{name}_ptq" / "checkpoint.safetensors")


@pytest.mark.parametrize("config", WITH_START)
def test_config_says_which_commands_make_its_start(config: str) -> None:
    path = CONFIGS / f"{config}.toml"
    words = " ".join(path.read_text().replace("#", " ").split())
    experiment = read(path)
    floating, widths = Path(experiment.train.start_from).parent.name.split("_ptq_")
    recipe = experiment.recipe
    assert widths == f"w{recipe.weight_bit_width}a{recipe.activation_bit_width}"
    assert f"bitwright train configs/{floating}.toml" in words
    command = (
        f"bitwright calibrate runs/{floating} --weight-bit-width {recipe.weight_bit_width} "
        f"--activation-bit-width {recipe.activation_bit_width} --rounding learned --no-fold "
        f"--set recipe.weight_scale={recipe.weight_scale}"
    )
    assert command in words


def test_teacher_that_is_finished_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[str, int, Path]]
) -> None:
    asked: list[tuple[Any, ...]] = []

    def is_current(run: RunFolder, stage: str, key: str, *, present: list[Path]) -> bool:
        asked.append((run.path, stage, key, *present))
        return True

    monkeypatch.setattr(RunFolder, "is_current", is_current)
    prepared("mnist_sfc_w2a2", 1, "other", tmp_path, None)
    folder = RunFolder(tmp_path / "mnist_lenet5_float")
    key = training_key(read(CONFIGS / "mnist_lenet5_float.toml"), folder)
    assert asked == [(folder.path, "train", key, folder.checkpoint, folder.metrics)]
    assert trained == []


def test_experiment_that_names_no_run_makes_nothing_first(tmp_path: Path, trained: list[tuple[str, int, Path]]) -> None:
    expected = read(CONFIGS / "mnist_tfc_w1a1.toml", ["seed=2", "name=other"])
    assert prepared("mnist_tfc_w1a1", 2, "other", tmp_path, None) == expected
    assert trained == []
