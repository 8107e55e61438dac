"""The networks of images, from one definition each, at every level: torch, qonnx, program, file, C simulation."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_networks import images, trained
from levels import Case, Verdict, examine
from quick_export import quick_exports

from bitwright.export.lower import lower
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.hls.target import Target
from bitwright.models import fracbnn, mobilenet_v2
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import LayerRecipe, Recipe

ENDS: dict[str, Any] = {"first_weight_bit_width": 8, "last_weight_bit_width": 8}
RECIPES = {
    "fixed": Recipe(weight_bit_width=4, activation_bit_width=4, **ENDS),
    "ternary": Recipe(weight_bit_width=2, activation_bit_width=2),
    "binary": Recipe(weight_bit_width=1, activation_bit_width=1),
    "binary_ends_of_8": Recipe(weight_bit_width=1, activation_bit_width=1, **ENDS),
    "fractional": Recipe(weight_bit_width=1, activation_bit_width=2, last_weight_bit_width=8),  # FracBNN's gates
}
MULTIPLIERS = {"vgg_small": 0.04, "resnet8": 0.25, "resnet20": 0.25, "fracbnn": 0.25, "mobilenet_v2": 0.25}
IN_SHORT = [("vgg_small", "binary"), ("resnet8", "fixed"), ("fracbnn", "fractional"), ("mobilenet_v2", "binary")]
AT_LENGTH = [(kind, recipe) for kind in MULTIPLIERS for recipe in RECIPES if (kind, recipe) not in IN_SHORT]
SIMULATED = [(kind, recipe) for kind in MULTIPLIERS for recipe in ("fixed", "ternary", "binary")]
SIMULATED.append(("fracbnn", "fractional"))


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give MobileNetV2 one block of each sort: without expansion, widened, added, with a stride; FracBNN three."""
    monkeypatch.setattr(fracbnn, "BLOCKS", 1)
    monkeypatch.setattr(mobilenet_v2, "STAGES", ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 1, 2)))


def examined(
    settings: ModelSettings, recipe: Recipe, folder: Path, *, side: int = 16, target: Target | None = None
) -> Verdict:
    """Compare every level on eight images; fail where the network does not tell most of them apart."""
    shape = (3, side, side)
    network, values = trained(settings, recipe, shape), images(8, shape, 99)
    with quick_exports():
        write_qonnx(network, shape, folder / "model.onnx")
    outputs = run_torch(network, values)
    assert len(np.unique(outputs, axis=0)) > len(values) / 2
    case = Case(settings.kind, load(folder / "model.onnx"), values, outputs, exact=True)
    return examine(case, target, folder)


def small(kind: str, **settings: object) -> ModelSettings:
    return ModelSettings.model_validate({"kind": kind, "channel_multiplier": MULTIPLIERS[kind], **settings})


@pytest.mark.parametrize(("kind", "recipe"), IN_SHORT)
def test_network_is_exact(kind: str, recipe: str, tmp_path: Path) -> None:
    verdict = examined(small(kind), RECIPES[recipe], tmp_path)
    assert (verdict.result, verdict.undecided, verdict.detail) == ("equal", False, "")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "recipe"), AT_LENGTH)
def test_network_of_any_width_is_exact(kind: str, recipe: str, tmp_path: Path) -> None:
    verdict = examined(small(kind), RECIPES[recipe], tmp_path)
    assert (verdict.result, verdict.undecided, verdict.detail) == ("equal", False, "")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["fixed", "binary"])
@pytest.mark.parametrize("kind", MULTIPLIERS)
def test_average_of_49_positions_is_exact(kind: str, recipe: str, tmp_path: Path) -> None:
    verdict = examined(small(kind), RECIPES[recipe], tmp_path, side=28)
    assert (verdict.result, verdict.undecided, verdict.detail) == ("equal", False, "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vgg_small", "resnet8", "mobilenet_v2"])
def test_network_without_batch_norm_is_exact(kind: str, tmp_path: Path) -> None:
    verdict = examined(small(kind, batch_norm=False), RECIPES["fixed"], tmp_path)
    assert (verdict.result, verdict.undecided, verdict.detail) == ("equal", False, "")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2, 8])
def test_binary_network_with_depthwise_weights_of_more_bits_is_exact(bits: int, tmp_path: Path) -> None:
    wide = {f"block{i}_expand": LayerRecipe(activation_bit_width=bits) for i in (1, 2)}
    recipe = RECIPES["binary"].model_copy(update={"layers": wide})
    verdict = examined(small("mobilenet_v2", depthwise_bit_width=bits), recipe, tmp_path)
    assert (verdict.result, verdict.undecided, verdict.detail) == ("equal", False, "")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2, 8])
def test_binary_network_with_bottlenecks_of_more_bits_is_exact(bits: int, tmp_path: Path) -> None:
    verdict = examined(small("mobilenet_v2", bottleneck_bit_width=bits), RECIPES["binary"], tmp_path)
    assert (verdict.result, verdict.undecided, verdict.detail) == ("equal", False, "")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "recipe"), SIMULATED)
def test_c_simulation_is_exact(kind: str, recipe: str, tmp_path: Path) -> None:
    verdict = examined(small(kind), RECIPES[recipe], tmp_path, side=8, target=Target(io_type="io_stream"))
    assert (verdict.result, verdict.simulated, verdict.detail) == ("equal", True, "")


def test_real_valued_shortcuts_train_and_are_refused_by_name(tmp_path: Path) -> None:
    shape = (3, 8, 8)
    network = trained(small("resnet8", shortcut="real"), RECIPES["binary_ends_of_8"], shape)
    with quick_exports():
        write_qonnx(network, shape, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx")
    says = r"^model: .*\(Add\): branches must .*; quantise them before the addition$"
    with pytest.raises(UnsupportedOperatorError) as refusal:
        lower(model)
    assert any(re.match(says, line) for line in str(refusal.value).splitlines()), str(refusal.value)
