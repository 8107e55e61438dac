"""Experiments: what a TOML file may say, and how it is refused."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from bitwright.cli.experiment import Experiment, read, sections
from bitwright.models.settings import Kind

KINDS = " or ".join(", ".join(map(repr, get_args(Kind))).rsplit(", ", 1))
CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.toml"))


def written(folder: Path, text: str) -> Path:
    """An experiment's file."""
    path = folder / "try.toml"
    path.write_text(text)
    return path


def refused(path: Path, says: str, *overrides: str) -> None:
    """Check that reading a file ends in one message."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read(path, overrides)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_experiment_of_the_project_is_read(path: Path) -> None:
    experiment = read(path)
    assert experiment.name == path.stem
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment


def test_empty_file_is_the_experiment_of_defaults(tmp_path: Path) -> None:
    experiment = read(written(tmp_path, ""))
    assert experiment == Experiment(name="try")
    assert (experiment.data.name, experiment.model.kind, experiment.hls.backend) == ("digits", "mlp", "Vitis")


def test_settings_cannot_be_changed_after_reading() -> None:
    experiment = Experiment(name="try")
    with pytest.raises(
        ValidationError, match=r"(?s)^1 validation error for Experiment\nseed\n  Instance is frozen .*$"
    ):
        experiment.seed = 2  # type: ignore[misc]  # as it is frozen


def test_missing_file_is_refused(tmp_path: Path) -> None:
    says = f"{tmp_path}/no.toml: experiment must be a TOML file, not missing; see configs/ for examples"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        read(tmp_path / "no.toml")


def test_folder_is_refused(tmp_path: Path) -> None:
    says = f"{tmp_path}: experiment must be a TOML file, not a folder; see configs/ for examples"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        read(tmp_path)


def test_text_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "x = = 3")
    says = "experiment must be TOML in UTF-8, not 'Invalid value (at line 1, column 5)'; correct it there"
    refused(path, f"{path}: {says}")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.toml"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    what = "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    refused(path, f"{path}: experiment must be TOML in UTF-8, not {what!r}; correct it there")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeed = 1", "seeed: key must be a known one, not 'seeed'; did you mean 'seed'?"),
        ("[trian]\nepochs = 3", "trian: key must be a known one, not 'trian'; did you mean 'train'?"),
        ("[train]\nepocs = 3", "train.epocs: key must be a known one, not 'epocs'; did you mean 'epochs'?"),
        ("epochs = 3", "epochs: key must be a known one, not 'epochs'; did you mean 'train.epochs'?"),
        (
            "zzz = 1",
            "zzz: key must be a known one, not 'zzz'; the keys are name, seed, data, model, recipe, train, hls",
        ),
        (
            "[data]\nzzz = 1",
            "data.zzz: key must be a known one, not 'zzz'; the keys are name, validation_fraction",
        ),
        (
            "[recipe.layers.fc1]\nweight_bits = 1",
            "recipe.layers.fc1.weight_bits: key must be a known one, not 'weight_bits'; "
            "did you mean 'weight_bit_width'?",
        ),
    ],
)
def test_unknown_key_is_refused_with_the_one_that_may_be_meant(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    refused(path, f"{path}: {says}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed = -1", "seed: value must be greater than or equal to 0, not -1"),
        ("seed = true", "seed: value must be a whole number, not true"),
        ("train = 3", "train: value must be a section of keys, not 3; write [section] above its keys"),
        ("name = 3", "name: value must be text, not 3; put it in quotes"),
        (
            'name = "a b"',
            "name: value must be a letter or digit, then letters, digits, '.', '_' and '-', not 'a b'; choose such a "
            "name",
        ),
        ('[train]\nepochs = "3"', "train.epochs: value must be a whole number, not '3'"),
        ("[train]\nepochs = 3.0", "train.epochs: value must be a whole number, not 3.0"),
        ("[train]\nepochs = -3", "train.epochs: value must be greater than 0, not -3"),
        ("[train]\nlearning_rate = nan", "train.learning_rate: value must be a finite number, not nan"),
        ('[train]\nlearning_rate = "low"', "train.learning_rate: value must be a number, not 'low'"),
        (
            "[data]\nvalidation_fraction = 0.7",
            "data.validation_fraction: value must be less than or equal to 0.5, not 0.7",
        ),
        (
            '[train]\nloss = "squared_hinge"\nlabel_smoothing = 0.1',
            "train.label_smoothing: value must be 0 for loss = 'squared_hinge', not 0.1; it smooths cross_entropy",
        ),
        (
            "[train]\ndistillation_weight = 0.9",
            "train.distillation_weight: value must be left out where teacher is empty, not 0.9; name one",
        ),
        ('[model]\nkind = "lenet"', f"model.kind: value must be {KINDS}, not 'lenet'"),
        ("[model]\nhidden = 64", "model.hidden: value must be a list, not 64"),
        ("[model]\nhidden = []", "model.hidden: value must be a list of one value or more, not []"),
        ("[model]\nhidden = [8, -1]", "model.hidden.1: value must be greater than 0, not -1"),
        ("[model]\nbatch_norm = 1", "model.batch_norm: value must be true or false, not 1"),
        ("[hls]\npart = ''", "hls.part: value must be text, not ''"),
        (f"[hls]\npart = [{'1, ' * 30}]", f"hls.part: value must be text, not [{'1, ' * 18}1,...; put it in quotes"),
    ],
)
def test_value_out_of_its_kind_or_range_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    refused(path, f"{path}: {says}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[model]\nkind = "lenet5"',
            "model.kind: value must be one of mlp, autoencoder, cnn, vgg_small, resnet8, resnet20, fracbnn, "
            "mobilenet_v2 for data.name = 'digits', not 'lenet5'; lenet5 takes mnist, fashion-mnist, cifar10",
        ),
        (
            '[data]\nname = "mnist"\n[model]\nkind = "cnv"',
            "model.kind: value must be one of mlp, autoencoder, cnn, lenet5, vgg_small, resnet8, resnet20, fracbnn, "
            "mobilenet_v2 for data.name = 'mnist', not 'cnv'; cnv takes cifar10",
        ),
        (
            '[data]\nname = "mnist"\n[model]\nkind = "lenet5"',
            "hls.io_type: value must be 'io_stream' for model.kind = 'lenet5', not 'io_parallel'; "
            "hls4ml would unroll every position of every convolution",
        ),
        (
            '[data]\nname = "jets"\n[train]\nshift_pixels = 1',
            "train.shift_pixels: value must be 0 for data.name = 'jets', not 1; jets are no images",
        ),
        (
            "[recipe]\naccumulator_bit_width = 12\n[train]\naverage_weights = 0.9",
            "train.average_weights: value must be 0 where recipe limits an accumulator, not 0.9; an average of weights "
            "that keep the limit need not keep it",
        ),
        (
            "[train]\nfloat_weights_share = 0.5\nearly_stop_epochs = 2",
            "train.early_stop_epochs: value must be 0 where train.float_weights_share is not, not 2; the training "
            "could end before the weights are quantised",
        ),
        (
            "[train]\ndistillation_feature_weight = 2.0",
            "train.distillation_feature_weight: value must be left out where teacher is empty, not 2.0; name one",
        ),
        (
            "[train]\nbatch_size = 1",
            "train.batch_size: value must be at least 2 for model.batch_norm = true, not 1; one image has no deviation",
        ),
        (
            "[model]\nbatch_norm = false\n[recipe]\nlast_weight_bit_width = 1",
            "model.batch_norm: value must be true where a width of recipe is 1, not false; binary layers have no bias",
        ),
        (
            "[recipe]\nweight_bit_width = 32",
            "recipe.activation_bit_width: value must be 32 like weight_bit_width, not 6; "
            "a network is float in every part or in none",
        ),
        (
            "[recipe]\ninput_bit_width = 20",
            "recipe.input_bit_width: value must be 1 to 16, or 32 for float, not 20",
        ),
    ],
)
def test_combination_that_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    refused(path, f"{path}: {says}")


def test_further_problems_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "[train]\nepochs = -1\nbatch_size = 0")
    refused(path, f"{path}: train.epochs: value must be greater than 0, not -1 (and 1 more)")


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.epochs=3", "train", "epochs", 3),
        (" train.epochs = 3", "train", "epochs", 3),
        ("train.learning_rate=0.5", "train", "learning_rate", 0.5),
        ("train.learning_rate=1", "train", "learning_rate", 1.0),
        ("model.batch_norm=false", "model", "batch_norm", False),
        ("model.hidden=[32, 16]", "model", "hidden", (32, 16)),
        ("data.name=mnist", "data", "name", "mnist"),
        ('data.name="mnist"', "data", "name", "mnist"),
        ("hls.part=xc7z020clg400-1", "hls", "part", "xc7z020clg400-1"),
        ("hls.part=a=b", "hls", "part", "a=b"),
        ("hls.part=1\nb = 2", "hls", "part", "1\nb = 2"),
    ],
)
def test_override_goes_before_the_file(tmp_path: Path, override: str, section: str, key: str, value: object) -> None:
    path = written(tmp_path, '[train]\nepochs = 9\nlearning_rate = 0.1\n[data]\nname = "jets"')
    experiment = read(path, [override])
    assert getattr(getattr(experiment, section), key) == value


def test_last_of_two_overrides_wins_and_the_head_can_be_set(tmp_path: Path) -> None:
    experiment = read(written(tmp_path, "seed = 4"), ["seed=5", "seed=6", "name=other"])
    assert (experiment.seed, experiment.name) == (6, "other")


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train.=3", ".epochs=3", "a.b.c=3", ""])
def test_override_of_another_form_is_refused(tmp_path: Path, override: str) -> None:
    says = f"--set: override must be section.key=value, not {override!r}; try --set train.epochs=3"
    refused(written(tmp_path, ""), says, override)


def test_override_below_a_value_is_refused(tmp_path: Path) -> None:
    says = "--set: seed must be a section, not 1; try --set train.epochs=3"
    refused(written(tmp_path, "seed = 1"), says, "seed.epochs=3")


def test_override_is_refused_as_the_file_would_be_but_for_where_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path, "[train]\nepochs = 3")
    refused(path, "--set: train.epochs: value must be a whole number, not 'three'", "train.epochs=three")
    refused(path, "--set: train.epocs: key must be a known one, not 'epocs'; did you mean 'epochs'?", "train.epocs=3")
    refused(path, "--set: model.hidden.1: value must be greater than 0, not -1", "model.hidden=[8, -1]")
    refused(path, "--set: train: value must be a section of keys, not 3; try --set train.epochs=3", "train=3")


def test_override_is_blamed_for_a_key_above_it_and_for_what_does_not_go_with_it(tmp_path: Path) -> None:
    path = written(tmp_path, '[model]\nkind = "mlp"')
    with pytest.raises(ValueError, match=r"^--set: traim: key must be a known one, not 'traim'; "):
        read(path, ["traim.epochs=3"])
    with pytest.raises(ValueError, match=r"^--set: model\.order: value must be left out for kind = 'mlp', not "):
        read(path, ["model.order=activation_pool_norm"])
    wrong = written(tmp_path, "seed = -1")
    refused(wrong, f"{wrong}: seed: value must be greater than or equal to 0, not -1", "train.epochs=3")
    refused(written(tmp_path, "seed = -1"), f"{path}: seed: value must be greater than or equal to 0, not -1", "name=a")


def test_name_of_a_file_or_an_override_must_do_for_a_folder(tmp_path: Path) -> None:
    rule = "name: value must be a letter or digit, then letters, digits, '.', '_' and '-', not"
    path = written(tmp_path, 'name = "good"')
    refused(path, f"--set: {rule} ''; choose such a name", "name=")
    refused(path, f"--set: {rule} '-a'; choose such a name", "name=-a")
    nameless = tmp_path / "a b.toml"
    nameless.touch()
    refused(nameless, f"{nameless}: {rule} 'a b'; choose such a name for the file, or set name in it")


def test_sections_are_those_of_a_file_in_order() -> None:
    assert list(sections()) == ["data", "model", "recipe", "train", "hls"]
    assert all(
        model.model_config["frozen"] and model.model_config["extra"] == "forbid" for model in sections().values()
    )


def test_layer_of_a_recipe_is_read_and_overridden(tmp_path: Path) -> None:
    path = written(tmp_path, "[recipe.layers.fc1]\nweight_bit_width = 3\nwhy = 'enough'")
    assert read(path).recipe.layers["fc1"].weight_bit_width == 3
    overridden = read(path, ["recipe.layers.fc1.weight_bit_width=2", "recipe.layers.out.weight_scale=per_channel"])
    assert overridden.recipe.layers["fc1"].weight_bit_width == 2
    assert overridden.recipe.layers["out"].weight_scale == "per_channel"
    says = "--set: override must be section.key=value, not 'train.a.b=2'; try --set train.epochs=3"
    refused(path, says, "train.a.b=2")
