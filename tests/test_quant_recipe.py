"""The bit widths of a network."""

import pytest
from pydantic import ValidationError

from bitwright.quant.recipe import FLOAT, LayerRecipe, Recipe

DETAILS = r" \[type=[a-z_]+, input_value=.*\]\n    For further information visit \S+$"


def test_first_and_last_layer_have_the_common_width_unless_given_their_own() -> None:
    recipe = Recipe(weight_bit_width=3, last_weight_bit_width=8, activation_bit_width=4, first_activation_bit_width=2)
    assert [recipe.weight_width(position) for position in ("first", "middle", "last")] == [3, 3, 8]
    assert [recipe.activation_width(position) for position in ("first", "middle", "last")] == [2, 4, 4]


def test_floating_recipe_quantises_nothing() -> None:
    recipe = Recipe.floating()
    assert recipe.is_float
    assert {width for width in recipe.widths().values() if width is not None} == {FLOAT}
    assert not Recipe().is_float


def test_widths_are_those_of_weights_activations_and_input() -> None:
    assert list(Recipe().widths()) == [
        "weight_bit_width",
        "activation_bit_width",
        "input_bit_width",
        "first_weight_bit_width",
        "first_activation_bit_width",
        "last_weight_bit_width",
    ]


@pytest.mark.parametrize("width", [1, 2, 16])
def test_quantised_width_is_taken(width: int) -> None:
    recipe = Recipe(weight_bit_width=width, activation_bit_width=width, input_bit_width=width)
    assert recipe.weight_width("middle") == width


@pytest.mark.parametrize("key", list(Recipe().widths()))
@pytest.mark.parametrize("width", [17, 31])
def test_width_between_fixed_point_and_float_is_refused(key: str, width: int) -> None:
    says = rf"^1 validation error for Recipe\n  Value error, {key}: value must be 1 to 16, or 32 for float, not {width}"
    with pytest.raises(ValidationError, match=says + DETAILS):
        Recipe.model_validate({key: width})


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("weight_bit_width", "activation_bit_width: value must be 32 like weight_bit_width, not 6"),
        ("activation_bit_width", "weight_bit_width: value must be 32 like activation_bit_width, not 6"),
        ("input_bit_width", "weight_bit_width: value must be 32 like input_bit_width, not 6"),
        ("last_weight_bit_width", "weight_bit_width: value must be 32 like last_weight_bit_width, not 6"),
    ],
)
def test_network_float_in_part_is_refused(key: str, says: str) -> None:
    whole = rf"^1 validation error for Recipe\n  Value error, {says}; a network is float in every part or in none"
    with pytest.raises(ValidationError, match=whole + DETAILS):
        Recipe.model_validate({key: FLOAT})


@pytest.mark.parametrize("width", [0, 33, 6.0, "6", True])
def test_width_that_is_no_whole_number_in_range_is_refused(width: object) -> None:
    with pytest.raises(
        ValidationError, match=r"^1 validation error for Recipe\nweight_bit_width\n  Input .*" + DETAILS
    ):
        Recipe.model_validate({"weight_bit_width": width})


def test_unknown_key_is_refused() -> None:
    says = r"^1 validation error for Recipe\nweight_bits\n  Extra inputs are not permitted"
    with pytest.raises(ValidationError, match=says + DETAILS):
        Recipe.model_validate({"weight_bits": 6})


def test_layer_has_its_own_widths_before_those_of_its_position() -> None:
    recipe = Recipe(
        weight_bit_width=3,
        first_weight_bit_width=8,
        first_activation_bit_width=7,
        activation_bit_width=5,
        layers={"conv1": LayerRecipe(weight_bit_width=2), "fc1": LayerRecipe(weight_scale="per_channel")},
    )
    conv1, fc1 = recipe.layer("conv1", "first"), recipe.layer("fc1", "middle")
    assert (conv1.weight_bit_width, conv1.activation_bit_width, conv1.weight_scale) == (2, 7, "per_tensor")
    assert (fc1.weight_bit_width, fc1.activation_bit_width, fc1.weight_scale) == (3, 5, "per_channel")


def test_layer_left_out_has_a_width_of_zero() -> None:
    assert Recipe(layers={"fc1": LayerRecipe(weight_bit_width=0)}).layer("fc1", "middle").weight_bit_width == 0


def test_reasons_are_for_people_only() -> None:
    layers = {"fc1": LayerRecipe(weight_bit_width=3, why="measured")}
    assert Recipe(layers=layers).without_reasons() == Recipe(layers={"fc1": LayerRecipe(weight_bit_width=3)})


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"weight_bit_width": 17}, "layers.fc1.weight_bit_width: value must be 1 to 16, or 32 for float, not 17"),
        ({"weight_bit_width": 32}, "weight_bit_width: value must be 32 like layers.fc1.weight_bit_width, not 6"),
        (
            {"activation_bit_width": 32},
            "weight_bit_width: value must be 32 like layers.fc1.activation_bit_width, not 6",
        ),
    ],
)
def test_width_of_a_layer_that_cannot_be_is_refused(own: dict[str, int], says: str) -> None:
    with pytest.raises(ValidationError, match=rf"\n  Value error, {says}"):
        Recipe.model_validate({"layers": {"fc1": own}})


def test_layer_has_its_own_accumulator_before_the_common_one() -> None:
    recipe = Recipe(accumulator_bit_width=16, layers={"fc1": LayerRecipe(accumulator_bit_width=12)})
    assert [recipe.layer(name, "middle").accumulator_bit_width for name in ("fc0", "fc1")] == [16, 12]
    assert "accumulator_bit_width" not in recipe.widths()


@pytest.mark.parametrize("width", [5, 33, 12.0])
def test_accumulator_out_of_range_is_refused(width: object) -> None:
    says = r"^1 validation error for Recipe\naccumulator_bit_width\n  Input .*"
    with pytest.raises(ValidationError, match=says + DETAILS):
        Recipe.model_validate({"accumulator_bit_width": width})


FLOATING = {"weight_bit_width": FLOAT, "activation_bit_width": FLOAT, "input_bit_width": FLOAT}
LIMITED = {"fc1": {"accumulator_bit_width": 12}}
BINARY = {"fc1": {"accumulator_bit_width": 12, "weight_bit_width": 1}}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"accumulator_bit_width": 12, "weight_bit_width": 1}, "accumulator_bit_width: * where weight_bit_width is 1"),
        (
            {"accumulator_bit_width": 12, "last_weight_bit_width": 1},
            "accumulator_bit_width: * where last_weight_bit_width is 1",
        ),
        ({"accumulator_bit_width": 12, **FLOATING}, "accumulator_bit_width: * where weight_bit_width is 32"),
        (
            {"accumulator_bit_width": 12, "layers": {"fc2": {"weight_bit_width": 1}}},
            "accumulator_bit_width: * where layers.fc2.weight_bit_width is 1",
        ),
        ({"layers": BINARY}, "layers.fc1.accumulator_bit_width: * where layers.fc1.weight_bit_width is 1"),
        ({"layers": LIMITED, **FLOATING}, "layers.fc1.accumulator_bit_width: * where weight_bit_width is 32"),
    ],
)
def test_accumulator_of_weights_that_are_not_fixed_point_is_refused(settings: dict[str, object], says: str) -> None:
    start, end = says.split("*")
    whole = f"{start}value must be left out{end}, not 12; only weights of 2 to 16 bits are limited"
    with pytest.raises(ValidationError, match=r"^1 validation error for Recipe\n  Value error, " + whole + DETAILS):
        Recipe.model_validate(settings)


def test_accumulator_beside_other_layers_of_one_bit_is_taken() -> None:
    assert Recipe.model_validate({"weight_bit_width": 1, "last_weight_bit_width": 8, "layers": LIMITED})
