"""Sums, maxima, averages and moves that cannot be exact are refused by name, every message whole."""

import numpy as np
import pytest
from refusals import CONV, IN, INPUT, PIXELS, POSITIONS, Refusal, check_refusal, dense_case, image_case

FEWER = "[act] p = Quant (q, one, zero, three)"
LAST = "y = Quant (a, half, zero, four)"
WIDE = (
    "[in] q = Quant (x, half, zero, b16) [w1] v = Quant (w, s, zero, b32) [fc1] m = MatMul (q, v) "
    "[w2] u = Quant (w, t, zero, b32) [fc2] n = MatMul (q, u)"
)
REPEAT = 'coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
BETWEEN = "put a quantiser before it"

JOINS: dict[str, Refusal] = {
    "branches of two shapes": image_case(
        f"{INPUT} g = GlobalAveragePool (q) p = Quant (g, half, zero, four) [join] a = Add (q, p) {LAST}",
        "join (Add): branches must be of one shape, not (2, 4, 4) and (2, 1, 1); reshape one",
        PIXELS,
    ),
    "product of what is bent": dense_case(
        f"{INPUT} {FEWER} r = Relu (p) [join] a = Mul (q, r) {LAST}",
        "join (Mul): factors must be accumulators or quantised, not the result of Relu; put a quantiser between",
        IN,
        IN,
    ),
    "product with a sum on unequal scales": dense_case(
        f"{INPUT} {FEWER} r = Quant (p, t, zero, four) s = Add (r, q) [join] a = Mul (q, s) {LAST}",
        "join (Mul): factors must each lie on one grid, not be a sum of branches of unequal scales; quantise the sum "
        "before the product",
        IN,
        IN,
        t=0.3,
    ),
    "product beyond float64": dense_case(
        f"{WIDE} [join] y = Mul (m, n)",
        f"join (Mul): product must stay below 2**53, where float64 is exact, not reach {2**94}; "
        "put a quantiser before one of its factors",
        IN,
        IN,
        w=np.full((2, 2), 2.0**30),
        s=0.5,
        t=0.5,
        b16=16.0,
        b32=32.0,
    ),
    "window beyond float64": image_case(
        "[in] q = Quant (x, half, zero, b16) [wq] v = Quant (k, half, zero, b32) c = Conv (q, v) "
        "[pool] y = AveragePool <kernel_shape=[3, 3]> (c)",
        f"pool (AveragePool): sums of a window must stay below 2**53, where float64 is exact, not reach {9 * 2**50}; "
        "put a quantiser before the pooling",
        (1, 2, 1, 1),
        (1, 4, 4, 4),
        k=np.full((2, 4, 2, 2), 2.0**30),
        b16=16.0,
        b32=32.0,
    ),
    "quotient of two tensors": dense_case(
        f"{INPUT} {FEWER} [join] a = Div (q, p) {LAST}",
        "join (Div): two computed tensors must be added or multiplied, not combined by Div; divide by a constant",
        IN,
        IN,
    ),
    "bent branch": dense_case(
        f"{INPUT} {FEWER} r = Relu (p) [join] a = Add (q, r) {LAST}",
        "join (Add): branches must be quantised after Relu, not added as floats; put a quantiser before the addition",
        IN,
        IN,
    ),
    "branch of slope 0": dense_case(
        f"{INPUT} {FEWER} r = Mul (p, c) [join] a = Add (q, r) {LAST}",
        "join (Add): slope of every channel must be another number than 0, not 0 as of channel 1; "
        "train again; a batch norm's weight is zero",
        IN,
        IN,
        c=np.array([1.0, 0.0]),
    ),
    "branches of too many bits": dense_case(
        f"{WIDE} [join] a = Add (m, n) {LAST}",
        "join (Add): branches must have codes below 2**39, not up to 73299879701184; quantise them before the addition",
        b16=16.0,
        b32=32.0,
        s=0.3 * 2**-28,
        t=0.7 * 2**-28,
    ),
    "pairs on boundaries": dense_case(
        "q = Quant (x, s, zero, four) v = Quant (w, half, zero, three) m = MatMul (q, v) "
        "[act] y = Quant (m, s, zero, four)",
        "act (Quant): sums must lie beside the boundaries of rounding, not on them as 45 do, where the last bit of "
        "float32 decides: PyTorch itself gives one integer or the other, by the order of adding; use power-of-two "
        "scales (restrict_scaling_type POWER_OF_TWO) and sums below 2**24, or a bias or batch norm that moves the "
        "sums, or --allow-approximate",
        s=0.3,
    ),
}

POOLS: dict[str, Refusal] = {
    "mean over the channels": image_case(
        f"{INPUT} [pool] a = ReduceMean (q, axesshape) {LAST}",
        "pool (ReduceMean): axes must be all but the batch and one other, not [1] of 4; average over rows and columns",
        (1, 1, 4, 4),
        axesshape=np.array([1]),
    ),
    "mean over all axes": image_case(
        f"{INPUT} [pool] a = ReduceMean (q) {LAST}",
        "pool (ReduceMean): axes must be all but the batch and one other, not [] of 4; average over rows and columns",
        (1, 1, 1, 1),
    ),
    "mean over the batch": image_case(
        f"{INPUT} [pool] a = ReduceMean (q, axesshape) {LAST}",
        "pool (ReduceMean): axes must be all but the batch and one other, not [0, 2, 3] of 4; "
        "average over rows and columns",
        (1, 2, 1, 1),
        axesshape=np.array([0, 2, 3]),
    ),
    "maximum of a function that falls and rises": image_case(
        f"{CONV} c = Conv (q, v) b = Abs (c) [pool] a = MaxPool <kernel_shape=[2, 2]> (b) {LAST}",
        f"pool (MaxPool): function before the maximum must rise or fall, not do both as Abs may; {BETWEEN}",
        (1, 2, 2, 2),
    ),
    "negative pads of a pool": image_case(
        f"{INPUT} [pool] y = MaxPool <kernel_shape=[2, 2], pads=[-1, 0, 0, 0]> (q)",
        "pool (MaxPool): pads must be at least 0, not [-1, 0, 0, 0]; crop before",
        (1, 2, 2, 3),
    ),
    "negative pads of a convolution": image_case(
        f"{CONV} [conv] y = Conv <pads=[0, 0, -1, 0]> (q, v)",
        "conv (Conv): pads must be at least 0, not [0, 0, -1, 0]; crop before",
        (1, 2, 2, 3),
    ),
    "pool of a vector": dense_case(
        f"{INPUT} [pool] y = GlobalMaxPool (q)",
        "pool (GlobalMaxPool): input must be (N, C, H, W) or (N, C, W), not of shape (N, 2); "
        "use a 1-d or 2-d layer, before flattening",
        IN,
        IN,
    ),
}

MOVES: dict[str, Refusal] = {
    "side by side along the batch": image_case(
        f"{INPUT} [cat] y = Concat <axis=0> (q, q)",
        "cat (Concat): axis must be one behind the batch, of at most 3, not 0 of 4; reshape before",
        (2, 2, 4, 4),
    ),
    "side by side of five axes": image_case(
        f"{INPUT} [cat] y = Concat <axis=1> (q, q)",
        "cat (Concat): axis must be one behind the batch, of at most 3, not 1 of 5; reshape before",
        (1, 4, 2, 2, 2),
        (1, 2, 2, 2, 2),
    ),
    "side by side of two sizes": image_case(
        f"{INPUT} m = MaxPool <kernel_shape=[2, 2]> (q) [cat] y = Concat <axis=1> (q, m)",
        "cat (Concat): inputs must differ along the channels only, not (2, 4, 4) and (2, 3, 3); crop or pad one",
        (1, 4, 4, 4),
    ),
    "linear interpolation": image_case(
        f'{INPUT} [up] y = Resize <mode="linear"> (q, , f)',
        "up (Resize): mode must repeat each pixel, not be linear, half_pixel, round_prefer_floor; "
        'use torch.nn.Upsample(scale_factor=2, mode="nearest")',
        (1, 2, 8, 8),
        f=np.array([1.0, 1.0, 2.0, 2.0]),
    ),
    "one and a half times the size": image_case(
        f'{INPUT} [up] y = Resize <mode="nearest", {REPEAT}> (q, , f)',
        "up (Resize): size must become a whole multiple of (2, 4, 4), not (2, 6, 6); use a whole scale_factor",
        (1, 2, 6, 6),
        f=np.array([1.0, 1.0, 1.5, 1.5]),
    ),
    "twice the channels": image_case(
        f'{INPUT} [up] y = Resize <mode="nearest", {REPEAT}> (q, , f)',
        "up (Resize): size must become a whole multiple of (2, 4, 4), not (4, 4, 4); use a whole scale_factor",
        (1, 4, 4, 4),
        f=np.array([1.0, 2.0, 1.0, 1.0]),
    ),
    "channels to the batch": image_case(
        f"{INPUT} [move] y = Reshape (q, newshape)",
        "move (Reshape): result must keep the batch axis and 32 values, not be of shape (2, 1, 4, 4); "
        "reshape within one input only",
        (2, 1, 4, 4),
        newshape=np.array([2, 1, 4, 4]),
    ),
    "no batch left": image_case(
        f"{INPUT} [move] y = Reshape (q, newshape)",
        "move (Reshape): result must keep the batch axis and 32 values, not be of shape (32,); "
        "reshape within one input only",
        (32,),
        newshape=np.array([32]),
    ),
    "transposed twice with a reshape between": image_case(
        f"{CONV} c = Conv <pads=[1, 1, 0, 0]> (q, v) a = Quant (c, half, zero, four) r = Reshape (a, innershape) "
        "t = Transpose <perm=[0, 3, 1, 2, 4]> (r) u = Reshape (t, outershape) [conv] y = Conv (u, v)",
        "conv (Conv): values must be reordered by one transpose, not by more; reshape in the network's order",
        POSITIONS,
        innershape=np.array([1, 2, 2, 2, 4]),
        outershape=np.array([1, 2, 4, 4]),
    ),
    "channels with scales of their own to rows": image_case(
        f"{CONV} c = Conv (q, v) a = Quant (c, s, zero, four) t = Transpose <perm=[0, 2, 1, 3]> (a) "
        "[kq] l = Quant (n, half, zero, three) [conv] y = Conv (t, l)",
        "conv (Conv): scales and constants must be one for all channels that are moved to another axis, "
        "not one a channel; put a quantiser of one scale before it",
        (1, 2, 1, 2),
        n=np.ones((2, 3, 2, 2)),
        s=np.array([0.5, 0.3]).reshape(1, 2, 1, 1),
    ),
}

CASES = {**JOINS, **POOLS, **MOVES}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_cannot_be_exact_is_refused(case: Refusal) -> None:
    check_refusal(case)
