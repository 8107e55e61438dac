"""Graphs of what docs/limits.md says is carried, one for each thing."""

from typing import Any

import numpy as np

RNG = np.random.default_rng(3)
IMAGE, VECTOR, SERIES = (9, 3, 6, 6), (9, 4), (9, 2, 11)
W = RNG.normal(0, 1, (4, 5))
K = RNG.normal(0, 1, (4, 3, 3, 3))
GENERAL = "qonnx.custom_op.general"
Case = tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]


def vector(body: str, result: tuple[int, ...] = (9, 5), **constants: Any) -> Case:  # noqa: ANN401
    return body, VECTOR, result, {"w": W, **constants}


def image(body: str, result: tuple[int, ...], **constants: Any) -> Case:  # noqa: ANN401
    return body, IMAGE, result, {"k": K, **constants}


DENSE = "q = Quant (x, half, zero, four) [wq] v = Quant (w, half, zero, four) m = MatMul (q, v)"
CONV = "q = Quant (x, half, zero, four) [wq] v = Quant (k, half, zero, four)"
ANY = "q = Quant (x, sx, zero, four) [wq] v = Quant (w, sw, zero, four) m = MatMul (q, v)"
END = "y = Quant (m, one, zero, eight)"
ROUNDINGS = ("ROUND", "FLOOR", "CEIL", "HALF_EVEN", "HALF_UP", "HALF_DOWN", "UP", "DOWN")
RISING = ("Celu", "Elu", "Erf", "Exp", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh")
OTHERS = ("Abs", "HardSwish", "Mish", "Neg")
CASES: dict[str, Case] = {
    "any scale": vector(f"{ANY} {END}", sx=0.37, sw=0.11),
    "any scale of each output channel": vector(f"{ANY} {END}", sx=0.37, sw=np.array([0.3, 0.11, 0.7, 0.5, 1.1])),
    "any scale of each input channel": vector(f"{ANY} {END}", sx=np.array([0.3, 0.11, 0.7, 0.5]), sw=0.25),
    "any scale of a quantiser for each channel": vector(
        f"{ANY} y = Quant (m, s, zero, four)", sx=0.37, sw=0.11, s=np.array([0.3, 0.1, 0.7, 0.5, 1.1])
    ),
    "zero point of the input": vector(
        f"q = UnsignedQuant (x, half, three, four) v = Quant (w, half, zero, four) m = MatMul (q, v) {END}"
    ),
    "zero point of weights": vector(
        f"q = Quant (x, half, zero, four) v = UnsignedQuant (w, half, three, four) m = MatMul (q, v) {END}"
    ),
    "zero points before and behind": vector(
        f"{DENSE} a = UnsignedQuant (m, half, z, four) u = Quant (n, half, zero, three) b = MatMul (a, u) "
        "y = UnsignedQuant (b, one, three, eight)",
        z=7.0,
        n=RNG.normal(0, 1, (5, 5)),
    ),
    "zero point and padding": image(
        "q = UnsignedQuant (x, half, three, four) v = Quant (k, half, zero, four) m = Conv <pads=[1, 2, 0, 1]> (q, v) "
        f"{END}",
        (9, 4, 5, 7),
    ),
    **{
        f"rounding {mode}": vector(
            f'{DENSE} y = {GENERAL}.Quant <signed=1, narrow=0, rounding_mode="{mode}"> (m, two, one, four)'
        )
        for mode in ROUNDINGS
    },
    "ternary weights": vector(
        f"q = Quant (x, half, zero, four) v = NarrowQuant (w, s, zero, two) m = MatMul (q, v) {END}", s=0.4137
    ),
    "one bit of any scale": vector(
        "q = BipolarQuant (x, s) v = BipolarQuant (w, t) m = MatMul (q, v) n = Add (m, c) y = BipolarQuant (n, s)",
        s=0.37,
        t=0.11,
        c=RNG.normal(0, 0.1, 5),
    ),
    "sixteen bits": vector(f"{DENSE} y = Quant (m, s, zero, b)", s=2.0**-9, b=16.0),
    "quantised twice": vector(
        "q = Quant (x, half, zero, eight) r = Quant (q, s, zero, four) v = Quant (w, half, zero, four) "
        f"m = MatMul (r, v) {END}",
        s=0.7,
    ),
    "float bias": vector(
        "q = Quant (x, half, zero, four) v = Quant (w, half, zero, four) m = Gemm (q, v, c) " + END,
        c=RNG.normal(0, 2, 5),
    ),
    "float bias on a finer power of two": vector(
        "q = Quant (x, half, zero, four) v = Quant (w, one, zero, three) m = Gemm (q, v, c) "
        "y = Quant (m, one, zero, eight)",
        c=np.array([0.25, 0.75, -0.25, 0.5, 0.125]),
    ),
    "bias of another scale": vector(
        "q = Quant (x, half, zero, four) v = Quant (w, half, zero, four) b = Quant (c, s, zero, eight) "
        f"m = Gemm (q, v, b) {END}",
        c=RNG.normal(0, 2, 5),
        s=0.013,
    ),
    "accumulator beyond 2**24": vector(
        "q = Quant (x, t, zero, b) v = Quant (w, t, zero, b) m = MatMul (q, v) y = Quant (m, s, zero, eight)",
        b=16.0,
        t=2.0**-13,
        s=0.3,
    ),
    "dense layer of each step of a sequence": (
        f"q = Quant (x, half, zero, four) v = Quant (w, half, zero, four) m = MatMul (q, v) {END}",
        (9, 3, 4),
        (9, 3, 5),
        {"w": W},
    ),
    "kernel stored rows first": image(
        "q = Quant (x, half, zero, four) u = Quant (k, half, zero, four) v = Transpose <perm=[3, 2, 0, 1]> (u) "
        f"m = Conv (q, v) {END}",
        (9, 4, 4, 4),
        k=K.transpose(2, 3, 1, 0),
    ),
    "integer weights times their scale": vector(
        f"q = Quant (x, half, zero, four) u = Quant (w, one, zero, four) v = Mul (u, s) m = MatMul (q, v) {END}",
        w=4 * W,
        s=np.array([0.25, 0.5, 0.25, 1.0, 0.125]),
    ),
    "weights reshaped": vector(
        "q = Quant (x, half, zero, four) u = Quant (w, half, zero, four) v = Reshape (u, newshape) m = MatMul (q, v) "
        + END,
        w=W.reshape(2, 10),
        newshape=np.array([4, 5]),
    ),
    "groups": image(f"{CONV} m = Conv <group=3> (q, v) {END}", (9, 6, 4, 4), k=RNG.normal(0, 1, (6, 1, 3, 3))),
    "two groups": (
        f"{CONV} m = Conv <group=2> (q, v) {END}",
        (9, 4, 5, 5),
        (9, 6, 3, 3),
        {"k": RNG.normal(0, 1, (6, 2, 3, 3))},
    ),
    "depthwise": image(
        f"{CONV} m = Conv <group=3, strides=[2, 1], pads=[1, 0, 1, 2]> (q, v) {END}",
        (9, 3, 3, 6),
        k=RNG.normal(0, 1, (3, 1, 3, 3)),
    ),
    "depthwise, a scale a channel": image(
        "q = Quant (x, s, zero, four) v = Quant (k, half, zero, four) m = Conv <group=3> (q, v) " + END,
        (9, 3, 4, 4),
        k=RNG.normal(0, 1, (3, 1, 3, 3)),
        s=np.array([0.3137, 0.1171, 0.7239]).reshape(3, 1, 1),
    ),
    "pointwise": image(f"{CONV} m = Conv (q, v) {END}", (9, 4, 6, 6), k=K[:, :, :1, :1]),
    "dilation": image(f"{CONV} m = Conv <dilations=[2, 1], pads=[1, 1, 1, 1]> (q, v) {END}", (9, 4, 4, 6)),
    "1-d": (
        f"{CONV} c = Conv <strides=[2], pads=[1, 0]> (q, v) p = MaxPool <kernel_shape=[2], strides=[2]> (c) "
        "y = Quant (p, one, zero, eight)",
        SERIES,
        (9, 4, 2),
        {"k": RNG.normal(0, 1, (4, 2, 3))},
    ),
    "1-bit data and padding": image(
        f"q = BipolarQuant (x, one) v = BipolarQuant (k, one) m = Conv <pads=[1, 1, 1, 1]> (q, v) {END}", (9, 4, 6, 6)
    ),
    "average of nine": image(
        f"{CONV} c = AveragePool <kernel_shape=[3, 3]> (q) y = Quant (c, half, zero, eight)", (9, 3, 4, 4)
    ),
    "average, padding counted": image(
        "q = Quant (x, half, zero, four) "
        "c = AveragePool <kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1> (q) "
        "y = Quant (c, half, zero, eight)",
        (9, 3, 6, 6),
    ),
    "average, padding not counted": image(
        "q = Quant (x, half, zero, four) c = AveragePool <kernel_shape=[2, 3], pads=[1, 1, 0, 1]> (q) "
        "y = Quant (c, half, zero, eight)",
        (9, 3, 6, 6),
    ),
    "global average": image(
        "q = Quant (x, half, zero, four) c = GlobalAveragePool (q) y = Quant (c, s, zero, eight)", (9, 3, 1, 1), s=0.03
    ),
    "mean over rows and columns": image(
        "q = Quant (x, half, zero, four) c = ReduceMean <keepdims=0> (q, axesshape) y = Quant (c, s, zero, eight)",
        (9, 3),
        s=0.03,
        axesshape=np.array([2, 3]),
    ),
    "mean of channels last": image(
        "q = Quant (x, half, zero, four) t = Transpose <perm=[0, 2, 3, 1]> (q) "
        "c = ReduceMean <keepdims=0> (t, axesshape) y = Quant (c, s, zero, eight)",
        (9, 3),
        s=0.03,
        axesshape=np.array([1, 2]),
    ),
    "concat of channels last": image(
        "q = Quant (x, half, zero, four) r = Relu (q) p = Quant (r, half, zero, four) "
        "t = Transpose <perm=[0, 2, 3, 1]> (q) u = Transpose <perm=[0, 2, 3, 1]> (p) "
        "j = Concat <axis=3> (t, u) y = Quant (j, one, zero, four)",
        (9, 6, 6, 6),
    ),
    "average of a power of two before a layer": image(
        "q = Quant (x, half, zero, four) c = AveragePool <kernel_shape=[2, 2], strides=[2, 2]> (q) "
        "v = Quant (k, half, zero, four) m = Conv (c, v) " + END,
        (9, 4, 1, 1),
    ),
    "padded maximum": image(
        "q = Quant (x, half, zero, four) c = MaxPool <kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]> (q) "
        "y = Quant (c, half, zero, four)",
        (9, 3, 3, 3),
    ),
    "maximum of a falling channel": image(
        f"{CONV} c = Conv (q, v) n = Mul (c, g) r = Relu (n) p = MaxPool <kernel_shape=[2, 2]> (r) "
        "y = Quant (p, half, zero, eight)",
        (9, 4, 3, 3),
        g=np.array([0.3, -0.7, 0.0, -0.1]).reshape(4, 1, 1),
    ),
    "maximum of the whole image": image(
        "q = Quant (x, half, zero, four) c = GlobalMaxPool (q) y = Quant (c, s, zero, eight)", (9, 3, 1, 1), s=0.3
    ),
    "trunc": image(
        "q = UnsignedQuant (x, half, zero, four) c = AveragePool <kernel_shape=[3, 3]> (q) "
        f'y = {GENERAL}.Trunc <signed=0, narrow=0, rounding_mode="FLOOR"> (c, s, zero, eight, t, four)',
        (9, 3, 4, 4),
        s=np.float32(0.5) / np.float32(9),
        t=np.float32(0.5) / np.float32(9) * np.float32(16),
    ),
    "residual": vector(
        "q = Quant (x, half, zero, four) v = Quant (w, half, zero, four) m = MatMul (q, v) "
        "a = Quant (m, half, zero, four) s = Add (a, q) y = Quant (s, one, zero, four)",
        (9, 4),
        w=W[:, :4],
    ),
    "residual of unequal scales": vector(
        "q = Quant (x, half, zero, four) v = Quant (w, half, zero, four) m = MatMul (q, v) "
        "a = Quant (m, sa, zero, six) s = Sub (a, q) r = Relu (s) y = Quant (r, sb, zero, eight)",
        (9, 4),
        w=W[:, :4],
        sa=0.3,
        sb=0.07,
        six=6.0,
    ),
    "residual of a zero point": vector(
        "q = Quant (x, one, zero, four) r = Quant (q, two, minus, three) s = Add (r, q) "
        "y = Quant (s, one, zero, eight)",
        (9, 4),
        minus=-1.0,
    ),
    "residual behind a padded convolution": image(
        "q = Quant (x, half, zero, four) v = Quant (k, half, zero, four) c = Conv <pads=[1, 1, 1, 1]> (q, v) "
        "a = Quant (c, s, zero, four) t = Add (a, q) y = Quant (t, half, zero, eight)",
        IMAGE,
        k=K[:3],
        s=0.3,
    ),
    "sum that two functions read": vector(
        "q = Quant (x, half, zero, four) a = Quant (q, sa, zero, four) r = Relu (q) b = Quant (r, sb, zero, four) "
        "s = Add (a, b) u = Relu (s) c = Quant (u, quarter, zero, four) v = Tanh (s) "
        "d = Quant (v, quarter, zero, four) y = Add (c, d)",
        (9, 4),
        sa=0.3137,
        sb=0.1173,
        quarter=0.25,
    ),
    "sum that a quantiser and a sum read": vector(
        "q = Quant (x, half, zero, four) a = Quant (q, sa, zero, four) r = Relu (q) b = Quant (r, sb, zero, four) "
        "s = Add (a, b) c = Quant (s, quarter, zero, four) t = Add (s, c) y = Quant (t, half, zero, eight)",
        (9, 4),
        sa=0.3137,
        sb=0.1173,
        quarter=0.25,
    ),
    "sums of batch norms": vector(
        f"{DENSE} a = Mul (m, g) b = Add (a, h) u = Quant (n, half, zero, four) c = MatMul (q, u) d = Mul (c, e) "
        "s = Add (b, d) y = Quant (s, half, zero, four)",
        g=RNG.normal(0, 1, 5),
        h=RNG.normal(0, 1, 5),
        e=RNG.normal(0, 1, 5),
        n=RNG.normal(0, 1, (4, 5)),
    ),
    "concat of three": image(
        f"{CONV} c = Conv <pads=[1, 1, 1, 1]> (q, v) a = Quant (c, two, zero, four) b = BipolarQuant (c, half) "
        "j = Concat <axis=1> (a, q, b) u = Quant (l, half, zero, four) m = Conv (j, u) " + END,
        (9, 2, 6, 6),
        l=RNG.normal(0, 1, (2, 11, 1, 1)),
    ),
    "concat of any scales": image(
        f"{CONV} c = Conv <pads=[1, 1, 1, 1]> (q, v) a = Quant (c, s, zero, four) "
        "j = Concat <axis=1> (a, q) u = Quant (l, half, zero, four) m = Conv (j, u, b) " + END,
        (9, 2, 6, 6),
        l=RNG.normal(0, 1, (2, 7, 1, 1)),
        s=0.3,
        b=RNG.normal(0, 1, 2),
    ),
    "resize": image(
        "q = Quant (x, half, zero, four) "
        'r = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (q, , sizes) '
        "v = Quant (k, half, zero, four) m = Conv (r, v) " + END,
        (9, 4, 10, 16),
        sizes=np.array([1.0, 1.0, 2.0, 3.0]),
    ),
    "vector to image": (
        "q = Quant (x, half, zero, four) r = Reshape (q, newshape) v = Quant (k, half, zero, four) m = Conv (r, v) "
        + END,
        (9, 48),
        (9, 4, 2, 2),
        {"k": K, "newshape": np.array([-1, 3, 4, 4])},
    ),
    "channels last at the beginning": (
        f"q = Quant (x, half, zero, four) t = Transpose <perm=[0, 3, 1, 2]> (q) v = Quant (k, half, zero, four) "
        f"m = Conv (t, v) {END}",
        (9, 5, 6, 3),
        (9, 4, 3, 4),
        {"k": K},
    ),
    "transposed inside": image(
        f"{CONV} c = Conv (q, v) a = Quant (c, two, zero, four) t = Transpose <perm=[0, 2, 3, 1]> (a) "
        "f = Reshape (t, newshape) u = Quant (n, half, zero, four) m = MatMul (f, u) " + END,
        (9, 5),
        newshape=np.array([-1, 64]),
        n=RNG.normal(0, 1, (64, 5)),
    ),
    "host steps": image(
        "a = Sub (x, c) b = Div (a, d) q = Quant (b, s, zero, eight) v = Quant (k, half, zero, four) m = Conv (q, v) "
        + END,
        (9, 4, 4, 4),
        c=RNG.normal(0, 1, (1, 3, 1, 1)),
        d=np.array([0.5, 0.7, 1.3]).reshape(1, 3, 1, 1),
        s=0.02173,
    ),
    "final scale and offset": vector(
        f"{DENSE} a = Mul (m, g) y = Add (a, h)", g=RNG.normal(0, 1, 5), h=RNG.normal(0, 1, 5)
    ),
    **{
        f"function {kind}": vector(f"{DENSE} f = {kind} (m) y = Quant (f, s, zero, eight)", s=0.04)
        for kind in (*RISING, *OTHERS)
    },
    "a table for each channel": vector(
        f"{DENSE} a = Mul (m, g) b = Add (a, h) f = HardSwish (b) y = Quant (f, s, zero, eight)",
        g=RNG.normal(0, 1, 5),
        h=RNG.normal(0, 1, 5),
        s=0.04,
    ),
    "x * sigmoid(x)": vector(f"{DENSE} f = Sigmoid (m) g = Mul (m, f) y = Quant (g, s, zero, eight)", s=0.04),
}
