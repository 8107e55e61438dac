"""`precision.toml`: what is written is the least; wider is honoured, narrower refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitwright.export import operations
from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Input,
    Join,
    Linear,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Quantizing,
    Requantize,
    Reshape,
    Table,
    Threshold,
    Transpose,
    UnaryOperation,
    Upsample,
)
from bitwright.export.precision import Precision, ap_text, is_xnor, minimal, needs, precision_text, read_precision
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of

CODE = FixedPoint(4, 2)
ONE = FixedPoint(1, 1, signed=False)
BITS = np.array([[1, -1, 1], [-1, -1, 1], [1, 1, 1]])


def fixed() -> Program:
    return Program(
        (
            Input("in", "", (3, 3, 2), CODE),
            Conv2d("conv", "in", np.arange(-8, 8).reshape(2, 2, 2, 2), CODE, np.array([5, -9]), (1, 1), (0, 0, 0, 0)),
            MaxPool2d("pool", "conv", (2, 2), (2, 2)),
            MultiplyAdd("norm", "pool", np.array([3, -4]), np.array([100, 7]), 3, format_of(0.5, 4, signed=False)),
            Flatten("flatten", "norm"),
            Dense("fc", "flatten", np.array([[1, 2], [-3, 0]]), CODE, None),
            Requantize("act", "fc", format_of(0.25, 3, signed=True, narrow=True)),
        )
    )


def binary() -> Program:
    sign = Threshold("sign", "in", np.array([[0], [1], [-2]]), np.array([True, False, True]), Bipolar())
    counts = Threshold(
        "counts", "fc", np.array([[-2, 0, 1]] * 3), np.array([True, False, True]), format_of(0.5, 2, signed=False)
    )
    return Program((Input("in", "", (3,), CODE), sign, Dense("fc", "sign", BITS, Bipolar(), None), counts))


def joined() -> Program:
    return Program(
        (
            Input("in", "", (2, 3, 2), CODE),
            Affine("scaled", "in", np.array([3, -4]), np.array([100, 7]), 3),
            DepthwiseConv2d("dw", "in", np.ones((1, 2, 2), np.int64), ONE, None, (1, 1), (0, 1, 0, 0)),
            Add("sum", "scaled", "dw"),
            Multiply("product", "scaled", "dw"),
            Table("table", "in", np.arange(8).repeat(2), -8, format_of(0.5, 4, signed=False)),
            Concat("both", "sum", "table"),
            Upsample("larger", "both", (2, 1)),
            Transpose("turned", "larger", (2, 1, 0)),
            Reshape("reshaped", "turned", (12, 4)),
        )
    )


def read(tmp_path: Path, program: Program, *changes: tuple[str, str]) -> Precision:
    """Read the text after changes of it."""
    text = precision_text(program)
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    path = tmp_path / "precision.toml"
    path.write_text(text)
    return read_precision(path, program)


def refused(tmp_path: Path, program: Program, message: str, *changes: tuple[str, str]) -> None:
    says = f"{tmp_path / 'precision.toml'}: {message}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read(tmp_path, program, *changes)


@pytest.mark.parametrize("program", [fixed(), binary(), joined()], ids=["fixed", "binary", "joined"])
def test_text_is_read_as_the_narrowest_types(program: Program, tmp_path: Path) -> None:
    assert read(tmp_path, program) == minimal(program)


def test_text_names_every_layer_role_type_and_interval() -> None:
    body = precision_text(fixed()).split("\n\n", 1)[1]
    assert body.startswith(
        '[in] # Input\nresult = "ap_fixed<4,2>"\ninterval = [-8, 7]\n\n'
        '[conv] # Conv2d\nweight      = "ap_fixed<4,2>"\nbias        = "ap_fixed<5,1>"\n'
    )
    assert precision_text(binary()).count('= "xnor"') == 2


def test_types_hold_every_code_and_no_narrower_ones_do() -> None:
    for roles in [roles for program in (fixed(), binary(), joined()) for roles in needs(program).values()]:
        for role, need in roles.items():
            assert need.format.holds(need.lowest, need.highest)
            if isinstance(need.format, FixedPoint) and not need.fixed and role != "weight" and need.format.width > 1:
                narrower = FixedPoint(need.format.width - 1, need.format.integer - 1, need.format.signed)
                assert role == "result" or not narrower.holds(need.lowest, need.highest)


def test_accumulator_holds_what_a_brute_force_over_all_inputs_reaches() -> None:
    program = Program((Input("in", "", (2,), CODE), Dense("fc", "in", np.array([[3], [-5]]), CODE, np.array([1]))))
    inputs = np.array([[a, b] for a in range(-8, 8) for b in range(-8, 8)])
    reached = program(inputs)
    need = needs(program)["fc"]["accumulator"]
    assert (need.lowest, need.highest) == (reached.min(), reached.max())
    assert need.format == FixedPoint(7, 3)


def test_layer_of_bits_counts_matches_from_zero() -> None:
    program = binary()
    need = needs(program)["fc"]
    assert (need["accumulator"].lowest, need["accumulator"].highest) == (0, 3)
    assert need["accumulator"].format == FixedPoint(2, 2, signed=False)
    assert (need["result"].lowest, need["result"].highest) == (-3, 3)
    assert need["weight"].format == Bipolar()
    assert [is_xnor(operation, program) for operation in program.operations] == [False, False, True, False]
    data = Program((Input("in", "", (3,), CODE), Dense("fc", "in", BITS, Bipolar(), None)))
    assert not is_xnor(data.operations[1], data)


def test_offset_and_multiplier_lie_on_the_grid_of_the_sum() -> None:
    need = needs(fixed())["norm"]  # sums are worth 2**-1 * 2**-3; codes of the source 2**-4
    assert need["multiplier"].format == FixedPoint(3, 3)
    assert need["offset"].format == FixedPoint(7, 3, signed=False)


def test_types_of_joins_tables_and_moves_are_the_narrowest() -> None:
    types = {name: {role: ap_text(form) for role, form in roles.items()} for name, roles in minimal(joined()).items()}
    # Products of the affine: multipliers worth 2**-1, codes 2**-2; its sums 76 to 121 and -21 to 39, of 2**-3
    assert types["scaled"] == {"multiplier": "ap_fixed<3,2>", "offset": "ap_ufixed<7,4>", "result": "ap_fixed<8,5>"}
    assert types["dw"] == {
        "weight": "ap_ufixed<1,1>",
        "bias": "ap_ufixed<1,1>",
        "accumulator": "ap_fixed<5,3>",
        "result": "ap_fixed<5,3>",
    }
    assert types["sum"] == {"result": "ap_fixed<9,6>"}
    assert types["table"] == dict.fromkeys(["table", "result"], "ap_ufixed<4,3,AP_RND_CONV,AP_SAT>")
    assert [types[name] for name in ("both", "larger", "turned", "reshaped")] == [types["sum"]] * 4


def test_table_is_not_to_be_retyped(tmp_path: Path) -> None:
    before, after = "ap_ufixed<4,3,AP_RND_CONV,AP_SAT>", "ap_ufixed<5,3,AP_RND_CONV,AP_SAT>"
    message = (
        f"table.table: type must be {before}, which the network's quantiser rounds to, not {after}; "
        "change the recipe and train again"
    )
    refused(tmp_path, joined(), message, (f'table  = "{before}"', f'table  = "{after}"'))


def test_multiplier_on_the_grid_of_the_sum_is_enough_and_no_coarser_one(tmp_path: Path) -> None:
    text = 'multiplier = "ap_fixed<3,2>"'
    assert read(tmp_path, joined(), (text, 'multiplier = "ap_fixed<5,3>"'))["scaled"]["multiplier"] == FixedPoint(5, 3)
    rule = "type must hold -4 to 3 steps of 2**-1"
    message = f"scaled.multiplier: {rule}, not ap_fixed<3,3>; at least ap_fixed<3,2> is needed"
    refused(tmp_path, joined(), message, (text, 'multiplier = "ap_fixed<3,3>"'))


@pytest.mark.parametrize(
    ("layer", "role", "before", "after"),
    [
        ("in", "result", "ap_fixed<4,2>", "ap_fixed<6,3>"),
        ("conv", "bias", "ap_fixed<5,1>", "ap_fixed<8,2>"),
        ("conv", "weight", "ap_fixed<4,2>", "ap_fixed<5,2>"),
        ("flatten", "result", "ap_ufixed<4,3,AP_RND_CONV,AP_SAT>", "ap_ufixed<5,4>"),
        ("flatten", "result", "ap_ufixed<4,3,AP_RND_CONV,AP_SAT>", "ap_ufixed<5,4,AP_RND_CONV,AP_SAT>"),
        ("fc", "bias", "ap_ufixed<1,1>", "ap_int<4>"),
    ],
)
def test_wider_type_is_honoured(layer: str, role: str, before: str, after: str, tmp_path: Path) -> None:
    section = precision_text(fixed()).split(f"[{layer}]")[1].split("interval")[0]
    changed = re.sub(rf'({role} *= )"{re.escape(before)}"', rf'\1"{after}"', section)
    assert changed != section
    found = read(tmp_path, fixed(), (section, changed))
    assert ap_text(found[layer][role]) == after.replace("ap_int<4>", "ap_fixed<4,4>")
    expected = {name: dict(roles) for name, roles in minimal(fixed()).items()}
    expected[layer][role] = found[layer][role]
    assert found == expected


def test_accumulator_of_one_bit_less_is_refused(tmp_path: Path) -> None:
    need = needs(fixed())["fc"]["accumulator"]
    assert isinstance(need.format, FixedPoint)
    text = f'accumulator = "{need.format.ap_fixed}"'
    less = f"ap_fixed<{need.format.width - 1},{need.format.integer - 1}>"
    program = Program((*fixed().operations[:5], fixed().operations[5]))
    message = (
        f"fc.accumulator: type must hold {need.lowest} to {need.highest} steps of 2**-3, not {less}; "
        f"at least {need.format.ap_fixed} is needed"
    )
    section = precision_text(program).split("[fc]")[1]
    refused(tmp_path, program, message, (section, section.replace(text, f'accumulator = "{less}"')))


def test_type_of_a_coarser_grid_is_refused(tmp_path: Path) -> None:
    message = "in.result: type must hold -8 to 7 steps of 2**-2, not ap_fixed<8,7>; at least ap_fixed<4,2> is needed"
    refused(tmp_path, fixed(), message, ('result = "ap_fixed<4,2>"', 'result = "ap_fixed<8,7>"'))


def test_type_without_the_sign_is_refused(tmp_path: Path) -> None:
    message = "in.result: type must hold -8 to 7 steps of 2**-2, not ap_ufixed<9,4>; at least ap_fixed<4,2> is needed"
    refused(tmp_path, fixed(), message, ('result = "ap_fixed<4,2>"', 'result = "ap_ufixed<9,4>"'))


@pytest.mark.parametrize("modes", ["AP_RND", "AP_RND_CONV,AP_SAT", "AP_TRN,AP_SAT_SYM"])
def test_type_that_rounds_or_saturates_is_refused(modes: str, tmp_path: Path) -> None:
    message = f"in.result: type must not round or saturate, not ap_fixed<9,4,{modes}>; leave the modes out"
    refused(tmp_path, fixed(), message, ('result = "ap_fixed<4,2>"', f'result = "ap_fixed<9,4,{modes}>"'))


QUANTISERS = {
    "norm": ("ap_ufixed<4,3,AP_RND_CONV,AP_SAT>", "ap_ufixed<5,4,AP_RND_CONV,AP_SAT>"),
    "act": ("ap_fixed<3,1,AP_RND_CONV,AP_SAT_SYM>", "ap_fixed<3,1,AP_RND_CONV,AP_SAT>"),
}


@pytest.mark.parametrize("layer", QUANTISERS)
def test_type_that_a_quantiser_rounds_to_is_not_to_be_changed(layer: str, tmp_path: Path) -> None:
    before, after = QUANTISERS[layer]
    message = (
        f"{layer}.result: type must be {before}, which the network's quantiser rounds to, not {after}; "
        "change the recipe and train again"
    )
    refused(tmp_path, fixed(), message, (before, after))


@pytest.mark.parametrize(("before", "after"), [("xnor", "ap_fixed<2,2>"), ("ap_fixed<4,2>", "xnor")])
def test_bits_and_numbers_are_not_exchanged(before: str, after: str, tmp_path: Path) -> None:
    layer = "sign" if before == "xnor" else "in"
    message = (
        f"{layer}.result: type must be {before}, which the network's quantiser rounds to, not {after}; "
        "change the recipe and train again"
    )
    refused(tmp_path, binary(), message, (f'= "{before}"', f'= "{after}"'))


def test_layer_that_the_network_has_not_is_refused(tmp_path: Path) -> None:
    message = "layer must be one of in, sign, fc, counts, not 'fc9'; delete it and export again"
    refused(tmp_path, binary(), message, ("[fc] # Dense", '[fc9]\nresult = "xnor"\n[fc]'))


def test_layer_that_is_left_out_is_refused(tmp_path: Path) -> None:
    section = "[counts]" + precision_text(binary()).split("[counts]")[1]
    refused(tmp_path, binary(), "counts must be a section, not missing; delete it and export again", (section, ""))


def test_key_that_the_layer_has_not_is_refused(tmp_path: Path) -> None:
    message = "sign: key must be one of threshold, result, not 'resul'; remove it"
    refused(tmp_path, binary(), message, ("[sign] # Threshold", '[sign]\nresul = "xnor"'))


@pytest.mark.parametrize(("value", "shown"), [("6", "6"), ("true", "True"), ('["xnor"]', "['xnor']")])
def test_type_that_is_no_text_is_refused(value: str, shown: str, tmp_path: Path) -> None:
    message = f"in.result: type must be text such as 'ap_fixed<4,2>', not {shown}; delete it and export again"
    refused(tmp_path, binary(), message, ('"ap_fixed<4,2>"', value))


def test_type_that_is_left_out_is_refused(tmp_path: Path) -> None:
    message = "in.result: type must be text such as 'ap_fixed<4,2>', not None; delete it and export again"
    refused(tmp_path, binary(), message, ('result = "ap_fixed<4,2>"\n', ""))


def test_text_that_is_no_type_is_refused(tmp_path: Path) -> None:
    message = "in.result: ap_fixed: text must be ap_[u]fixed<W,I[,Q[,O]]> or ap_[u]int<W>, not 'float'"
    refused(tmp_path, binary(), message, ("ap_fixed<4,2>", "float"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[in\n", "Expected ']' at the end of a table declaration (at line 1, column 4)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_file_that_is_no_toml_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "precision.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: precision must be TOML: {says}')}$"):
        read_precision(path, binary())


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "precision.toml"
    says = f"{path}: precision must be a TOML file, not missing; run `bitwright export` first"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        read_precision(path, binary())


def test_operations_of_every_kind_are_typed() -> None:
    programs = (fixed(), binary(), joined())
    known = {kind for kind in vars(operations).values() if isinstance(kind, type) and issubclass(kind, Operation)}
    kinds: set[type[Operation]] = {type(operation) for program in programs for operation in program.operations}
    assert kinds == known - {Operation, UnaryOperation, Join, Linear, Quantizing}
