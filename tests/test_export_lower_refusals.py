"""What cannot be exact is refused by name, every message whole; what looks alike and can be exact, is."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import executed, graph, program_integers
from refusals import CONV, DENSE, IN, OUT, PIXELS, POSITIONS, K, Refusal, W, check_refusal, dense_case, image_case
from torch import nn

from bitwright.export.interface import describe, output_codes
from bitwright.export.lower import RULES, lower
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.qonnx_file import load
from bitwright.quant.brevitas_layers import dense, input_quantizer
from bitwright.quant.recipe import Recipe

with warnings.catch_warnings():  # of Brevitas to itself
    warnings.simplefilter("ignore")
    from brevitas.export import export_onnx_qcdq

KNOWN = ", ".join(sorted(RULES))
QCDQ = "export with brevitas.export.export_qonnx instead of export_onnx_qcdq"
ROUNDING = 'Quant <signed=1, narrow=0, rounding_mode="FLOOR"> (x, half, three, four)'
UNSIGNED_NARROW = 'Quant <signed=0, narrow=1, rounding_mode="ROUND"> (x, half, zero, four)'
CHANGED = "change the recipe"

REFUSALS: dict[str, Refusal] = {
    "float network": dense_case(
        "[fc] y = MatMul (x, w)", "fc (MatMul): weights w must be quantised, not float; give the layer a weight_quant"
    ),
    "float weights": dense_case(
        "[in] q = Quant (x, half, zero, four) [fc] y = Gemm (q, w)",
        "fc (Gemm): weights w must be quantised, not float; give the layer a weight_quant",
    ),
    "float input": dense_case(
        "[wq] v = Quant (w, half, zero, three) [fc] y = MatMul (x, v)",
        "fc (MatMul): input x must be quantised, not float; "
        "begin the network with brevitas.nn.QuantIdentity(bit_width=8), or give --input-type",
    ),
    "relu of the input": dense_case(
        "[act] y = Relu (x)", "y (output): output must come from a quantised input, not float; add a QuantIdentity"
    ),
    "output from constants": dense_case(
        "y = Quant (w, half, zero, three)",
        "y (output): output must come from a quantised input, not float; add a QuantIdentity",
    ),
    "qcdq": dense_case(
        "[a] q = QuantizeLinear (x, half) [b] d = DequantizeLinear (q, half) [c] s = Det (d) [fc] y = MatMul (s, w)",
        f"a (QuantizeLinear): operator must be one that can be lowered, not QuantizeLinear; {QCDQ}\n"
        f"model.onnx: b (DequantizeLinear): operator must be one that can be lowered, not DequantizeLinear; {QCDQ}\n"
        f"model.onnx: c (Det): operator must be one that can be lowered, not Det; these can: {KNOWN}",
    ),
    "computed batch norm": dense_case(
        f"{DENSE} m = MatMul (q, v) [norm] n = BatchNormalization (m, q, c, c, c) y = Quant (n, half, zero, three)",
        "norm (BatchNormalization): input q must be a constant, not computed; export the network in eval mode",
        c=np.ones(3),
    ),
    "batch norm that is not finite": dense_case(
        f"{DENSE} m = MatMul (q, v) [norm] n = BatchNormalization (m, c, c, c, d) y = Quant (n, half, zero, three)",
        "norm (BatchNormalization): input d must be finite, not NaN or infinite; train again; "
        "a batch norm's variance may be zero",
        c=np.ones(3),
        d=np.array([1.0, np.inf, 1.0]),
    ),
    "output bent by a sigmoid": dense_case(
        f"{DENSE} m = MatMul (q, v) y = Sigmoid (m)",
        "y (output): output must be affine in the last accumulator, not bent by Sigmoid; put a quantiser after it",
    ),
    "softmax inside": dense_case(
        f"{DENSE} m = MatMul (q, v) [soft] s = Softmax (m) y = Quant (s, half, zero, four)",
        "soft (Softmax): operator must be one that can be lowered, not Softmax; "
        "leave it out, or let the network end in it",
    ),
    "nan weights": dense_case(
        DENSE + " y = MatMul (q, v)",
        "wq (Quant): weights must be finite, not NaN or infinite; train again, with a lower learning rate",
        w=np.full((2, 3), np.nan),
    ),
    "scale zero": dense_case(
        "[in] y = Quant (x, zero, zero, four)", "in (Quant): scale must be positive and finite, not 0.0; train again"
    ),
    "scale negative": dense_case(
        "[in] y = BipolarQuant (x, s)",
        "in (BipolarQuant): scale must be positive and finite, not -0.5; train again",
        s=-0.5,
    ),
    "scale nan": dense_case(
        "[in] y = Quant (x, s, zero, four)",
        "in (Quant): scale must be positive and finite, not nan; train again",
        s=np.nan,
    ),
    "scale computed": dense_case(
        "[in] q = Quant (x, half, zero, four) [act] y = Quant (q, q, zero, four)",
        "act (Quant): scale, zero point and bit width must be constants, not computed; export the network in eval mode",
    ),
    "scales of weights a row": dense_case(
        "[in] q = Quant (x, half, zero, four) v = Quant (w, s, zero, three) [fc] y = MatMul (q, v)",
        "fc (MatMul): scale of weights must be one a tensor or one an output channel, not finer; "
        "use a per-tensor or per-channel weight quantiser",
        s=np.array([[0.5], [1.0]]),
    ),
    "scales of an activation before a layer": dense_case(
        "[in] q = Quant (x, half, zero, four) [act] a = Quant (q, s, zero, four) v = Quant (w, half, zero, three) "
        "[fc] y = MatMul (a, v)",
        "y (output): output must lie on one grid of integers, not be a sum of scales that are no multiples of "
        "each other; end the network with a QuantIdentity",
        s=np.array([2.0**-25, 1.0]),
    ),
    "scales along another axis": image_case(
        f"{CONV} c = Conv (q, v) [act] y = Quant (c, s, zero, four)",
        "act (Quant): scale must have one value, or one a channel (2), not the shape (1, 1, 1, 3); "
        "let it vary along the channels only",
        s=np.array([0.5, 1.0, 2.0]).reshape(1, 1, 1, 3),
    ),
    "bit width 0": dense_case(
        "[in] y = Quant (x, half, zero, zero)",
        f"in (Quant): bit width must be a whole number from 1 to 32, not 0.0; {CHANGED}",
    ),
    "bit width 33": dense_case(
        "[in] y = Quant (x, half, zero, b)",
        f"in (Quant): bit width must be a whole number from 1 to 32, not 33.0; {CHANGED}",
        b=33.0,
    ),
    "bit width 2.5": dense_case(
        "[in] y = Quant (x, half, zero, b)",
        f"in (Quant): bit width must be a whole number from 1 to 32, not 2.5; {CHANGED}",
        b=2.5,
    ),
    "bit widths": dense_case(
        "[in] y = Quant (x, half, zero, b)",
        "in (Quant): bit width must be one for all channels, not [2.0, 3.0]; use one width",
        b=np.array([3.0, 2.0]),
    ),
    "bit width of an activation": dense_case(
        "[in] y = Quant (x, half, zero, b)",
        f"in (Quant): bit width of an activation must be at most 16, not 17; {CHANGED}",
        b=17.0,
    ),
    "narrow and unsigned": dense_case(
        f"[in] y = qonnx.custom_op.general.{UNSIGNED_NARROW}",
        "in (Quant): narrow must be 0 where signed is 0, not 1; set narrow_range to False",
    ),
    "residual join": dense_case(
        "[in] q = Quant (x, half, zero, four) [join] y = Add (q, q)",
        "y (output): output must be affine in the last accumulator, not bent by Add; put a quantiser after it",
    ),
    "constant nan": dense_case(
        "[in] q = Quant (x, half, zero, four) [norm] y = Mul (q, c)",
        "norm (Mul): constant must be finite, not NaN or infinite; train again; a batch norm's variance may be zero",
        c=np.array([1.0, np.nan]),
    ),
    "constant divided": dense_case(
        "[in] q = Quant (x, half, zero, four) [norm] y = Div (two, q)",
        "norm (Div): constant must be the divisor, not the dividend; multiply by it instead",
    ),
    "divisor zero": dense_case(
        "[in] q = Quant (x, half, zero, four) [norm] y = Div (q, zero)",
        "norm (Div): divisor must be another number than 0, not 0; train again; a scale has vanished",
    ),
    "constant along another axis": image_case(
        f"{CONV} c = Conv (q, v) [norm] y = Mul (c, m)",
        "norm (Mul): constant must have one value, or one a channel (2), not the shape (3,); "
        "let it vary along the channels only",
        m=np.array([1.0, 2.0, 3.0]),
    ),
    "not a number on the way": dense_case(
        f"{DENSE} m = MatMul (q, v) a = Mul (m, huge) b = Mul (a, huge) c = Mul (b, zero) "
        "[act] y = Quant (c, one, zero, four)",
        "act (Quant): values must be numbers, not NaN; train again, a batch norm may have overflowed",
        huge=1e38,
    ),
    "layer after elementwise": dense_case(
        "[in] q = Quant (x, half, zero, four) m = Mul (q, three) v = Quant (w, half, zero, three) "
        "[fc] y = MatMul (m, v)",
        "fc (MatMul): input must be an accumulator or quantised, not the result of Mul; "
        "put a quantiser between, or this node before the elementwise operations",
    ),
    "pool after elementwise": image_case(
        f"{CONV} c = Conv (q, v) r = Relu (c) [pool] y = MaxPool <kernel_shape=[2, 2]> (r)",
        "y (output): output must be affine in the last accumulator, not bent by Relu; put a quantiser after it",
        (1, 2, 2, 2),
    ),
    "bias too coarse": dense_case(
        f"{DENSE} b = Quant (c, s, zero, four) [fc] y = Gemm (q, v, b)",
        "fc (Gemm): grids of bias and products must be less than 2**24 apart, not 16777216; "
        "use one scale, or let the bias quantiser take the accumulator's",
        c=np.zeros(3),
        s=2.0**22,
    ),
    "bias too fine": dense_case(
        f"{DENSE} b = Quant (c, s, zero, four) [fc] y = Gemm (q, v, b)",
        "fc (Gemm): grids of bias and products must be less than 2**24 apart, not 16777216; "
        "use one scale, or let the bias quantiser take the accumulator's",
        c=np.zeros(3),
        s=2.0**-26,
    ),
    "alpha": dense_case(
        f"{DENSE} [fc] y = Gemm <alpha=0.5> (q, v)", "fc (Gemm): alpha must be 1, not 0.5; export a plain dense layer"
    ),
    "beta": dense_case(
        f"{DENSE} [fc] y = Gemm <beta=2.0> (q, v)", "fc (Gemm): beta must be 1, not 2; export a plain dense layer"
    ),
    "transA": (
        f"{DENSE} [fc] y = Gemm <transA=1> (q, v)",
        (2, 2),
        (2, 3),
        {"w": W},
        "fc (Gemm): transA must be 0, not 1; export a plain dense layer",
    ),
    "auto_pad": image_case(
        f'{CONV} [conv] y = Conv <auto_pad="SAME_UPPER"> (q, v)',
        "conv (Conv): auto_pad must be NOTSET, not SAME_UPPER; give pads",
        PIXELS,
    ),
    "ceil_mode": image_case(
        "[in] q = Quant (x, half, zero, four) "
        "[pool] y = MaxPool <kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1> (q)",
        "pool (MaxPool): ceil_mode must be 0, not 1; pool without it",
        (1, 2, 2, 2),
    ),
    "dilated pool": image_case(
        "[in] q = Quant (x, half, zero, four) [pool] y = MaxPool <kernel_shape=[2, 2], dilations=[2, 2]> (q)",
        "pool (MaxPool): dilations must be 1, not [2, 2]; pool without it",
        (1, 2, 2, 2),
    ),
    "pool with auto_pad": image_case(
        '[in] q = Quant (x, half, zero, four) [pool] y = MaxPool <kernel_shape=[2, 2], auto_pad="SAME_LOWER"> (q)',
        "pool (MaxPool): auto_pad must be NOTSET, not SAME_LOWER; give pads",
        PIXELS,
    ),
    "transpose of data": dense_case(
        "[in] q = Quant (x, half, zero, four) [turn] y = Transpose (q)",
        "turn (Transpose): batch axis must stay first, not go elsewhere ([1, 0]); keep the batch first",
    ),
    "output bent": dense_case(
        f"{DENSE} m = MatMul (q, v) y = Relu (m)",
        "y (output): output must be affine in the last accumulator, not bent by Relu; put a quantiser after it",
    ),
    "output constant": dense_case(
        f"{DENSE} m = MatMul (q, v) y = Mul (m, c)",
        "y (output): slope of every score must be another number than 0, not 0 as of score 1; "
        "train again; a batch norm's weight is zero",
        c=np.array([1.0, 0.0, 1.0]),
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_exact_is_refused(case: Refusal) -> None:
    check_refusal(case)


def test_problems_are_told_one_by_one_too() -> None:
    with pytest.raises(UnsupportedOperatorError) as refused:
        lower(graph("[a] s = Det (x) [b] t = Hardmax (s) y = Relu (t)", IN, IN))
    assert [(problem.node, problem.op_type) for problem in refused.value.problems] == [("a", "Det"), ("b", "Hardmax")]


def test_all_problems_are_told_in_one_go() -> None:
    body = (
        "[in] q = Quant (x, half, zero, four) [wa] v = Quant (w, bad, zero, three) [a] m = MatMul (q, v) "
        "[act] p = Quant (m, half, zero, four) [wb] u = Quant (w, nothing, zero, three) [b] y = MatMul (p, u)"
    )
    model = graph(body, IN, OUT, w=W, bad=np.array(-0.3), nothing=np.array(0.0))
    with pytest.raises(UnsupportedOperatorError) as refused:
        lower(model, "model.onnx")
    assert {problem.node for problem in refused.value.problems} == {"wa", "wb"}
    assert str(refused.value).count("\n") == 1


@pytest.mark.parametrize("second", ["input", "output"])
def test_second_input_or_output_is_refused(second: str) -> None:
    model = graph(f"{DENSE} y = MatMul (q, v)", IN, OUT, w=W)
    port = getattr(model.graph, second).add()
    port.CopyFrom(model.graph.input[0])
    port.name = "z" if second == "input" else "q"
    counts = "2 and 1" if second == "input" else "1 and 2"
    says = f"model: g (graph): network must have one input and one output, not {counts}; export one path of it"
    with pytest.raises(UnsupportedOperatorError, match=f"^{re.escape(says)}$"):
        lower(model)


def test_network_exported_as_qcdq_is_refused_by_every_node(tmp_path: Path) -> None:
    recipe = Recipe(weight_bit_width=8, activation_bit_width=8)
    network = nn.Sequential(input_quantizer(recipe, 0.0, 1.0), dense(recipe, 4, 3, bias=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_onnx_qcdq(network.eval(), args=torch.zeros(1, 4), export_path=str(tmp_path / "qcdq.onnx"), dynamo=False)
    with pytest.raises(UnsupportedOperatorError) as refused:
        lower(load(tmp_path / "qcdq.onnx"), "qcdq.onnx")
    lines = str(refused.value).splitlines()
    assert {line.rpartition("; ")[2] for line in lines if "Linear)" in line} == {QCDQ}
    assert len({problem.node for problem in refused.value.problems}) == len(lines) >= 3


# ---- what looks alike, and is exact ----------------------------------------------------------------------------------

Accepted = tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]
TERNARY = "v = Quant (w, s, zero, three)"

ACCEPTED: dict[str, Accepted] = {
    "float bias": (f"{DENSE} y = Gemm (q, v, b)", IN, OUT, {"w": W, "b": np.array([0.3, -1.7, 2.0])}),
    "elementwise before the input quantiser": (
        "m = Mul (x, c) r = Relu (m) q = Quant (r, half, zero, four) [wq] v = Quant (w, half, zero, three) "
        "y = MatMul (q, v)",
        IN,
        OUT,
        {"w": W, "c": np.array([0.7, -1.3])},
    ),
    "scale of weights": (f"q = Quant (x, half, zero, four) {TERNARY} y = MatMul (q, v)", IN, OUT, {"w": W, "s": 0.3}),
    "scale of the input": (f"q = Quant (x, s, zero, four) {TERNARY} y = MatMul (q, v)", IN, OUT, {"w": W, "s": 0.3}),
    "scales of the input": (
        f"q = Quant (x, s, zero, four) {TERNARY.replace('s', 'half')} y = MatMul (q, v)",
        IN,
        OUT,
        {"w": W, "s": np.array([0.3, 0.6])},
    ),
    "scale of the bias": (
        f"{DENSE} b = Quant (c, s, zero, four) y = Gemm (q, v, b)",
        IN,
        OUT,
        {"w": W, "c": np.array([1.0, -0.5, 2.0]), "s": 0.3},
    ),
    "scale of an activation": (
        f"{DENSE} m = MatMul (q, v) y = Quant (m, s, zero, three)",
        IN,
        OUT,
        {"w": W, "s": np.array([0.3, 0.7, 1.9])},
    ),
    "zero point": (f"{DENSE.replace('zero', 'three', 1)} y = MatMul (q, v)", IN, OUT, {"w": W}),
    "zero point of an activation": (
        f"{DENSE} m = MatMul (q, v) y = UnsignedQuant (m, half, three, four)",
        IN,
        OUT,
        {"w": W},
    ),
    "zero point before a padded convolution": (
        f"{CONV.replace('zero', 'three', 1)} y = Conv <pads=[1, 0, 1, 1]> (q, v)",
        PIXELS,
        (1, 2, 5, 4),
        {"k": K},
    ),
    "rounding": (f"y = qonnx.custom_op.general.{ROUNDING}", IN, IN, {}),
    "function of the last bit by position": (
        f"{DENSE} m = MatMul (q, v) e = Elu (m) y = Quant (e, half, zero, three)",
        IN,
        OUT,
        {"w": W},
    ),
    "function that rises and falls": (
        f"{DENSE} m = MatMul (q, v) e = Abs (m) y = Quant (e, one, zero, three)",
        IN,
        OUT,
        {"w": W},
    ),
    "groups": (f"{CONV} y = Conv <group=2> (q, v)", PIXELS, POSITIONS, {"k": K[:, :1]}),
    "dilation": (f"{CONV} y = Conv <dilations=[2, 1]> (q, v)", PIXELS, (1, 2, 2, 3), {"k": K}),
    "1-d convolution": (
        "q = Quant (x, half, zero, four) v = Quant (k, half, zero, three) y = Conv (q, v)",
        (1, 2, 4),
        (1, 2, 3),
        {"k": K[:, :, 0]},
    ),
    "1-d pool": ("q = Quant (x, half, zero, four) y = MaxPool <kernel_shape=[2]> (q)", (1, 2, 4), (1, 2, 3), {}),
    "dense layer of an image": (
        "q = Quant (x, half, zero, four) v = Quant (w, half, zero, three) y = MatMul (q, v)",
        PIXELS,
        (1, 2, 4, 3),
        {"w": np.arange(12).reshape(4, 3) % 5 / 2 - 1},
    ),
    "reshape to an image": (
        f"{DENSE} m = MatMul (q, v) y = Reshape (m, newshape)",
        IN,
        (1, 3, 1),
        {"w": W, "newshape": np.array([-1, 3, 1])},
    ),
    "output flattened": (f"{CONV} c = Conv (q, v) y = Flatten (c)", PIXELS, (1, 18), {"k": K}),
}


@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED)
def test_what_can_be_exact_is_exact(case: Accepted) -> None:
    body, shape, result, constants = case
    model = graph(body, (50, *shape[1:]), (50, *result[1:]), **constants)
    values = np.random.default_rng(1).normal(0, 3, (50, *shape[1:])).astype(np.float32)
    lowered = lower(model)
    found = program_integers(lowered, values)
    assert len(np.unique(found)) > 2
    assert (found == output_codes(describe(lowered).output, executed(model, values))).all()
