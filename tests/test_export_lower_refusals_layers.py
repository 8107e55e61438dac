"""Layers, constants and steps of the host that cannot be exact are refused by name, every message whole."""

import numpy as np
import pytest
from networks import graph
from refusals import CONV, DENSE, IN, INPUT, OUT, Refusal, check_refusal, dense_case, image_case

from bitwright.export.lower import lower
from bitwright.export.problems import UnsupportedOperatorError

THREE_SCALES = (
    f"{INPUT} a = Quant (q, s, zero, four) b = Quant (q, t, zero, four) c = Quant (q, u, zero, four) "
    "d = Concat <axis=1> (a, b, c)"
)
EVAL = "export the network in eval mode"
ALONE = "let the step compute each input by itself"

LAYERS: dict[str, Refusal] = {
    "weights computed": dense_case(
        f"{INPUT} a = Quant (q, one, zero, four) [fc] y = MatMul (q, a)",
        "fc (MatMul): weights a must be constants, not computed; multiply by weights only",
        (2, 2),
        (2, 2),
    ),
    "weights of another size": dense_case(
        f"{DENSE} [fc] y = MatMul (q, v)",
        "fc (MatMul): weights must be (4, C), not (2, 3); flatten the input",
        (1, 4),
    ),
    "weights of three axes": dense_case(
        f"{DENSE} [fc] y = MatMul (q, v)",
        "fc (MatMul): weights must be (2, C), not (2, 2, 3); flatten the input",
        IN,
        (2, 1, 3),
        w=np.ones((2, 2, 3)),
    ),
    "input of four axes": dense_case(
        f"{DENSE} [fc] y = MatMul (q, v)",
        "fc (MatMul): input must have up to 3 axes, not (2, 2, 2, 2); flatten the input",
        (1, 2, 2, 2, 2),
        (1, 2, 2, 2, 3),
    ),
    "weights of other groups": image_case(
        f"{CONV} [conv] y = Conv <group=2> (q, v)",
        "conv (Conv): weights must be (F, 2 / groups, ...) for 2 groups, not (2, 2, 2, 2); check the layer",
    ),
    "filters that are no multiple of the groups": image_case(
        f"{CONV} [conv] y = Conv <group=2> (q, v)",
        "conv (Conv): weights must be (F, 2 / groups, ...) for 2 groups, not (3, 1, 2, 2); check the layer",
        (1, 3, 3, 3),
        k=np.ones((3, 1, 2, 2)),
    ),
    "convolution of three dimensions": image_case(
        f"{CONV} [conv] y = Conv (q, v)",
        "conv (Conv): input must be (N, C, H, W) or (N, C, W), not of shape (N, 1, 3, 3, 3); "
        "use a 1-d or 2-d layer, before flattening",
        (1, 1, 2, 2, 2),
        (1, 1, 3, 3, 3),
        k=np.ones((1, 1, 2, 2, 2)),
    ),
    "bias computed": dense_case(
        f"{DENSE} [fc] y = Gemm (q, v, q)",
        f"fc (Gemm): bias q must be a constant, not computed; {EVAL}",
        OUT,
        w=np.eye(3),
    ),
    "bias nan": dense_case(
        f"{DENSE} [fc] y = Gemm (q, v, b)",
        "fc (Gemm): bias b must be finite, not NaN or infinite; train again",
        b=np.array([1.0, np.nan, 0.0]),
    ),
    "three scales side by side": dense_case(
        f"{THREE_SCALES} [wq] v = Quant (w, half, zero, three) [fc] y = MatMul (d, v)",
        "fc (MatMul): scales of the input's channels must be at most two that are no whole multiples, not more; "
        "use one scale for what is put side by side",
        w=np.ones((6, 3)),
        s=0.3,
        t=0.7,
        u=0.11,
    ),
    "accumulator beyond float64": dense_case(
        "[in] q = Quant (x, half, zero, b16) [wq] v = Quant (w, half, zero, b32) [fc] y = MatMul (q, v)",
        "fc (MatMul): accumulator must stay below 2**53, where float64 is exact, not reach 21110623253299200; "
        "use fewer bits for weights or activations, or scales that are whole multiples of each other",
        (1, 300),
        (1, 1),
        w=np.full((300, 1), 2.0**30),
        b16=16.0,
        b32=32.0,
    ),
    "accumulator beyond 64 bits": dense_case(
        "[in] q = Quant (x, half, zero, b16) [wq] v = Quant (w, half, zero, b32) [fc] y = MatMul (q, v)",
        f"fc (MatMul): accumulator must stay below 2**53, where float64 is exact, not reach {2**64}; "
        "use fewer bits for weights or activations, or scales that are whole multiples of each other",
        (1, 1 << 18),
        (1, 1),
        w=np.full((1 << 18, 1), 2.0**30),
        b16=16.0,
        b32=32.0,
    ),
    "layer of a float sum": dense_case(
        f"{INPUT} v = Quant (w, s, zero, three) m = MatMul (q, v) "
        "u = Quant (k, half, zero, three) [fc] y = MatMul (m, u)",
        "fc (MatMul): input must be quantised, not a sum of floats on no power of two; "
        "put a quantiser before this layer",
        s=0.3,
        k=np.eye(3),
    ),
}

CONSTANTS: dict[str, Refusal] = {
    "negative factor of weights": dense_case(
        f"{DENSE} [scaled] u = Mul (v, c) [fc] y = MatMul (q, u)",
        "scaled (Mul): factor of quantised weights must be positive and finite, not -2.0; "
        "put the sign into the weights",
        c=np.array([1.0, -2.0, -3.0]),
    ),
    "factor of weights of more axes": dense_case(
        f"{DENSE} [scaled] u = Mul (v, c) [fc] y = MatMul (q, u)",
        "scaled (Mul): factor of quantised weights must spread over (2, 3), not (1, 2, 3); change its shape",
        IN,
        (1, 1, 3),
        c=np.ones((1, 2, 3)),
    ),
    "function of weights": dense_case(
        f"{DENSE} [act] r = Relu (v) [fc] y = MatMul (q, r)",
        "act (Relu): input v must be computed from the network's input, not constant; "
        "compute constants before their quantiser",
    ),
    "batch norm of fewer channels": dense_case(
        f"{DENSE} m = MatMul (q, v) [norm] n = BatchNormalization (m, c, c, c, c) y = Quant (n, half, zero, three)",
        "norm (BatchNormalization): input c must have one value a channel (3), not 2; check the layer",
        c=np.ones(2),
    ),
    "batch norm in training": dense_case(
        f"{DENSE} m = MatMul (q, v) [norm] n, mean, var = BatchNormalization <training_mode=1> (m, c, c, c, c) "
        "y = Quant (n, half, zero, three)",
        f"norm (BatchNormalization): outputs must be one, not those of training; {EVAL}",
        c=np.ones(3),
    ),
    "constant that adds a batch": dense_case(
        f"{DENSE} m = MatMul (q, v) [norm] y = Mul (m, c)",
        "norm (Mul): constant must broadcast to (3,), not have the shape (2, 3); change its shape",
        IN,
        (2, 3),
        c=np.ones((2, 3)),
    ),
}

HOST: dict[str, Refusal] = {
    "two input quantisers": dense_case(
        "[a] a = Quant (x, half, zero, four) [b] b = Quant (x, one, zero, four) s = Add (a, b) "
        "y = Quant (s, half, zero, four)",
        "b (Quant): input must be quantised once, not by two quantisers; quantise it once, and branch behind that",
        IN,
        IN,
    ),
    "input of another tensor quantised": dense_case(
        "[a] a = Quant (x, half, zero, four) m = Mul (x, two) [b] b = Quant (m, half, zero, four) s = Add (a, b) "
        "y = Quant (s, half, zero, four)",
        "b (Quant): input must be quantised once, not by two quantisers; quantise it once, and branch behind that",
        IN,
        IN,
    ),
    "batch transposed": image_case(
        "[turn] t = Transpose <perm=[1, 0, 2, 3]> (x) y = Quant (t, half, zero, four)",
        "turn (Transpose): batch axis must stay as it is before the first quantiser, not become one of [2, 1, 4, 4]; "
        f"{ALONE}",
        (2, 1, 4, 4),
    ),
    "batch reshaped": image_case(
        "[move] t = Reshape (x, newshape) y = Quant (t, half, zero, four)",
        "move (Reshape): batch axis must stay as it is before the first quantiser, not become one of [2, 1, 4, 4]; "
        f"{ALONE}",
        (2, 1, 4, 4),
        newshape=np.array([2, 1, 4, 4]),
    ),
    "one input times two": dense_case(
        "[norm] t = Mul (x, c) y = Quant (t, half, zero, four)",
        f"norm (Mul): batch axis must stay as it is before the first quantiser, not become one of [2, 2]; {ALONE}",
        IN,
        (2, 2),
        c=np.array([[1.0, 2.0], [2.0, 3.0]]),
    ),
    "deviation infinite": dense_case(
        "[norm] t = Div (x, c) y = Quant (t, half, zero, four)",
        "norm (Div): constant c must be finite, not NaN or infinite; check it",
        IN,
        IN,
        c=np.array([1.0, np.inf]),
    ),
    "bound of a clip that is no number": dense_case(
        "[clip] t = Clip (x, c) y = Quant (t, half, zero, four)",
        "clip (Clip): constant c must be finite, not NaN or infinite; check it",
        IN,
        IN,
        c=np.nan,
    ),
}

CASES = {**LAYERS, **CONSTANTS, **HOST}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_cannot_be_exact_is_refused(case: Refusal) -> None:
    check_refusal(case)


def test_constants_that_onnxruntime_does_not_compute_are_refused() -> None:
    body = f"{DENSE} [resize] e = Reshape (w, newshape) u = Quant (e, half, zero, three) [fc] y = MatMul (q, u)"
    model = graph(body, IN, OUT, w=np.ones((2, 3)), newshape=np.array([5, 5]))
    with pytest.raises(UnsupportedOperatorError) as refused:
        lower(model, "model.onnx")
    says, _, reason = str(refused.value).partition(" ([ONNXRuntimeError] : ")
    assert says == "model.onnx: g (graph): constant expressions must be ones that onnxruntime computes, not fail"
    assert reason.endswith("Input shape:{2,3}, requested shape:{5,5}); export again")
