"""Settings that a training would not look at."""

from pathlib import Path

import pytest
from road import CONFIGS, SMALL, Bitwright

from bitwright.cli.experiment import Experiment, changed, read
from bitwright.cli.settings_without_effect import check_effect
from bitwright.models.model_keys import KINDS_OF
from bitwright.models.settings import ModelSettings


@pytest.mark.parametrize(
    ("config", "settings", "says"),
    [
        (
            "digits_cnn_w6a6",
            ["model.hidden=[8]"],
            "model.hidden: value must be left out for model.kind = 'cnn', not [8]; it is for mlp, autoencoder",
        ),
        (
            "digits_cnn_w6a6",
            ["model.shortcut=real"],
            "model.shortcut: value must be left out for model.kind = 'cnn', not 'real'; it is for resnet8, resnet20, "
            "fracbnn, mobilenet_v2",
        ),
        (
            "digits_mlp_w6a6",
            ["model.channel_multiplier=2"],
            "model.channel_multiplier: value must be left out for model.kind = 'mlp', not 2.0; it is for cnn, lenet5, "
            "cnv, vgg_small, resnet8, resnet20, fracbnn, mobilenet_v2",
        ),
        (
            "digits_mlp_w6a6",
            ["model.tensor_train_cores=3"],
            "model.tensor_train_cores: value must be left out where model.tensor_train_rank is 0, not 3; set the rank, "
            "too",
        ),
        (
            "digits_mlp_w6a6",
            ["recipe.sign_gradient=tanh"],
            "recipe.sign_gradient: value must be left out where no width of recipe is 1, not 'tanh'; only signs have "
            "one",
        ),
        (
            "digits_mlp_w6a6",
            ["recipe.binary_weight_scale=per_channel", "recipe.activation_bit_width=1"],
            "recipe.binary_weight_scale: value must be left out where no weights have 1 bit, not 'per_channel'; set a "
            "weight_bit_width to 1",
        ),
        (
            "digits_mlp_float",
            ["train.float_weights_share=0.5"],
            "train.float_weights_share: value must be left out where recipe is float, not 0.5; all weights are",
        ),
        (
            "digits_mlp_w6a6",
            ["train.float_weights_share=0.95", "train.epochs=10"],
            "train.float_weights_share: value must leave an epoch of 10 to quantised weights, not be 0.95; lower it, "
            "or train longer",
        ),
        (
            "digits_mlp_w6a6",
            ["train.teacher={folder}/teacher.safetensors", "train.distillation_feature_weight=5.0"],
            "train.distillation_feature_weight: value must be left out where train.distillation_layers is empty, not "
            "5.0; name layers there",
        ),
    ],
)
def test_setting_that_would_be_ignored_is_refused(
    config: str, settings: list[str], says: str, tmp_path: Path, bitwright: Bitwright
) -> None:
    (tmp_path / "teacher.safetensors").touch()
    named = [part.format(folder=tmp_path) for setting in settings for part in ("--set", setting)]
    outcome = bitwright("train", CONFIGS / f"{config}.toml", "--runs-dir", tmp_path / "runs", *named)
    assert (outcome.status, outcome.err) == (2, f"{says}\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        ("digits_mlp_w1a1", "recipe.sign_gradient=tanh"),
        ("digits_mlp_w1a1", "recipe.binary_weight_scale=per_channel"),
        ("digits_mobilenet_v2_w1a1", "model.depthwise_bit_width=8"),
        ("digits_fracbnn_w1a2", "recipe.sign_gradient=tanh"),
        ("digits_autoencoder_w8a8", "model.hidden=[8, 4, 8]"),
        ("digits_mlp_w6a6", "train.float_weights_share=0.5"),
    ],
)
def test_setting_that_is_looked_at_is_taken(config: str, setting: str) -> None:
    check_effect(read(CONFIGS / f"{config}.toml", [setting]))


def test_gates_have_signs_whatever_the_weights() -> None:
    settings = ["recipe.weight_bit_width=4", "recipe.sign_gradient=tanh"]
    check_effect(read(CONFIGS / "digits_fracbnn_w1a2.toml", settings))


@pytest.mark.parametrize(
    ("config", "kind", "key"),
    [
        ("digits_mlp_w6a6", "cnn", "hidden"),
        ("digits_mobilenet_v2_w1a1", "resnet8", "bottleneck_bit_width"),
        ("cifar10_cnv_w1a1", "mlp", "channel_multiplier"),
    ],
)
def test_another_kind_drops_the_keys_of_the_file_s_kind_alone(config: str, kind: str, key: str) -> None:
    path = CONFIGS / f"{config}.toml"
    own = read(path, ["model.channel_multiplier=0.5"] if key == "channel_multiplier" else [])
    other = changed(own, [f"model.kind={kind}"])
    default = ModelSettings.model_fields[key].default
    assert getattr(own.model, key) != default
    assert getattr(other.model, key) == default
    check_effect(other)
    if key == "hidden":
        assert read(path, [f"model.kind={kind}"]).model.hidden == default
        with pytest.raises(ValueError, match=r"^model\.hidden: value must be left out for model\.kind = 'cnn'"):
            check_effect(read(path, [f"model.kind={kind}", "model.hidden=[8]"]))


@pytest.mark.parametrize(
    ("kind", "widths", "other"),
    [("mlp", {"fc0": 32}, "resnet8"), ("resnet8", {"block0_conv1": 4}, "resnet20"), ("mlp", {"fc0": 32}, "cnn")],
)
def test_another_kind_drops_the_widths_of_the_file_s_layers(kind: str, widths: dict[str, int], other: str) -> None:
    own = changed(Experiment(name="own"), [f"model.kind={kind}", *(f"model.widths.{k}={v}" for k, v in widths.items())])
    assert own.model.widths == widths
    assert changed(own, [f"model.kind={kind}"]).model.widths == widths
    assert changed(own, [f"model.kind={other}"]).model.widths == {}
    named = {"resnet8": "block1_conv1", "resnet20": "block1_conv1", "cnn": "conv"}[other]
    assert changed(own, [f"model.kind={other}", f"model.widths.{named}=5"]).model.widths == {named: 5}


def test_training_that_an_earlier_version_began_goes_on(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path, *SMALL)
    ignored = ("--set", "model.channel_multiplier=2.0")
    assert bitwright(*command, *ignored).status == 2
    with monkeypatch.context() as patch:
        patch.setattr("bitwright.cli.settings_without_effect.check_effect", lambda _: None)
        assert bitwright(*command, *ignored).status == 0
    assert bitwright(*command, *ignored).status == 0


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_config_is_taken(path: Path) -> None:
    check_effect(read(path))


def test_keys_are_those_of_the_model() -> None:
    assert set(KINDS_OF) <= set(ModelSettings.model_fields)
