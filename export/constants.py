"""Constants of a graph: weights and biases on their integer grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from bitwright.export.operations import Integers, Shape
from bitwright.export.quantizer import ROUNDINGS, Floats, Quantizer, Truncation

QUANTIZERS = ("Quant", "BipolarQuant")
MOST_ZERO_POINT = 1 << 24
SMALLEST_SCALE = 2.0**-100
"""Far below it float32 has fewer bits, and less than its inverse is infinite."""


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """A constant tensor as ``codes * scale``.

    Args:
        codes: Integers of the tensor's shape; a zero point is subtracted.
        scale: Of the tensor's shape, or broadcastable to it.
        quantizer: Where they come from.
    """

    codes: Integers
    scale: Floats
    quantizer: Quantizer

    def transposed(self, axes: Sequence[int] | None = None) -> "QuantizedConstant":
        """Return the constant with its axes in another order; turned round where none is given."""
        scale = np.broadcast_to(self.scale, self.codes.shape)
        return QuantizedConstant(self.codes.transpose(axes), scale.transpose(axes), self.quantizer)

    def reshaped(self, shape: Shape) -> "QuantizedConstant":
        """Return the constant in another shape."""
        scale = np.broadcast_to(self.scale, self.codes.shape)
        return QuantizedConstant(self.codes.reshape(shape), scale.reshape(shape), self.quantizer)

    def times(self, factor: Floats) -> "QuantizedConstant":
        """Return the constant worth a positive factor more.

        Raises:
            ValueError: If the factor is not positive, or has more axes than the constant.
        """
        if not (np.isfinite(factor).all() and (factor > 0).all()):
            wrong = factor[~(np.isfinite(factor) & (factor > 0))].flat[0]
            raise ValueError(
                f"factor of quantised weights must be positive and finite, not {wrong}; put the sign into the weights"
            )
        scale = np.asarray(self.scale * factor, np.float32)
        if np.broadcast_shapes(scale.shape, self.codes.shape) != self.codes.shape:
            raise ValueError(
                f"factor of quantised weights must spread over {self.codes.shape}, not {factor.shape}; change its shape"
            )
        return QuantizedConstant(self.codes, scale, self.quantizer)

    def channel_scale(self, axis: int) -> Floats:
        """Return the scale of each index of an axis.

        Raises:
            ValueError: If the scale varies along another axis.
        """
        scale = np.moveaxis(np.broadcast_to(self.scale, self.codes.shape), axis, 0)
        scale = scale.reshape(scale.shape[0], -1)
        if not (scale == scale[:, :1]).all():
            raise ValueError(
                "scale of weights must be one a tensor or one an output channel, not finer; "
                "use a per-tensor or per-channel weight quantiser"
            )
        return scale[:, 0]


def read_quantizer(model: ModelWrapper, node: NodeProto) -> Quantizer:
    """Return a `Quant` or `BipolarQuant` node's parameters.

    Raises:
        ValueError: If a parameter is not constant, or not a possible one.
    """
    parameters = _parameters(model, node)
    scale = _scale("scale", parameters[0])
    if node.op_type == "BipolarQuant":
        return Quantizer(scale, bit_width=1, signed=True, narrow=False, bipolar=True)
    zero_point, width = _zero_point(parameters[1]), _bit_width(parameters[2])
    signed, narrow, rounding = _attributes(node)
    bipolar = width == 1 and signed  # as qonnx and Brevitas compute it
    if bipolar and zero_point:
        raise ValueError(f"zero point of one signed bit must be 0, not {zero_point}; use a symmetric quantiser")
    return Quantizer(scale, width, signed, narrow, bipolar, zero_point, rounding)


def read_truncation(model: ModelWrapper, node: NodeProto) -> Truncation:
    """Return a `Trunc` node's parameters, as version 2 of the operator has them.

    Raises:
        ValueError: If a parameter is not constant, or not a possible one.

    Source: qonnx 1.0.0, `trunc_v2`.
    """
    version = max((int(entry.version) for entry in model.model.opset_import if entry.domain == node.domain), default=1)
    if version < 2:
        raise ValueError(f"version of the operator must be 2, not {version}; export again with Brevitas 0.12 or newer")
    parameters = _parameters(model, node)
    scale, output_scale = _scale("scale", parameters[0]), _scale("output scale", parameters[3])
    divisors = np.exp2(np.rint(np.log2(output_scale / scale)))
    if (divisors != divisors.flat[0]).any():
        raise ValueError("bits cut off must be one number for all channels, not several; use one scale")
    divisor = float(divisors.flat[0])
    zero_point = _zero_point(parameters[1])
    if zero_point % divisor:
        raise ValueError(
            f"zero point must be a multiple of {divisor:.0f}, by which it is divided, not {zero_point}; "
            "use a symmetric quantiser"
        )
    width = _bit_width(parameters[4])
    signed, narrow, rounding = _attributes(node)
    zero_after = int(zero_point // divisor)
    return Truncation(scale, zero_point, divisor, output_scale, zero_after, width, signed, narrow, rounding)


def _parameters(model: ModelWrapper, node: NodeProto) -> list[NDArray[Any]]:
    parameters = [model.get_initializer(name) for name in node.input[1:]]
    if any(value is None for value in parameters):
        raise ValueError(
            "scale, zero point and bit width must be constants, not computed; export the network in eval mode"
        )
    return parameters


def _scale(what: str, value: NDArray[Any]) -> Floats:
    scale = np.asarray(value, np.float32)
    if scale.size and np.isfinite(scale).all() and ((scale > 0) & (scale < SMALLEST_SCALE)).any():
        raise ValueError(f"{what} must be at least 2**-100, not {scale.min()}; train again, a tensor has died")
    if scale.size == 0 or not (np.isfinite(scale).all() and (scale > 0).all()):
        found = float(scale[~(scale > 0) | ~np.isfinite(scale)].flat[0]) if scale.size else "empty"
        raise ValueError(f"{what} must be positive and finite, not {found}; train again")
    return scale


def _zero_point(value: NDArray[Any]) -> int:
    points = np.unique(np.asarray(value, np.float64))
    if len(points) != 1:
        raise ValueError(f"zero point must be one for all channels, not {points.tolist()}; use one zero point")
    if not (float(points[0]).is_integer() and abs(points[0]) < MOST_ZERO_POINT):
        raise ValueError(
            f"zero point must be a whole number below 2**24, not {float(points[0])}; use a symmetric quantiser"
        )
    return int(points[0])


def _bit_width(value: NDArray[Any]) -> int:
    widths = np.unique(np.asarray(value, np.float64))
    if len(widths) != 1:
        raise ValueError(f"bit width must be one for all channels, not {widths.tolist()}; use one width")
    width = float(widths[0])
    if not (width.is_integer() and 1 <= width <= 32):
        raise ValueError(f"bit width must be a whole number from 1 to 32, not {width}; change the recipe")
    return int(width)


def _attributes(node: NodeProto) -> tuple[bool, bool, str]:
    """Return signed, narrow and the rounding mode."""
    attributes = getCustomOp(node)
    rounding = str(attributes.get_nodeattr("rounding_mode")).upper()
    if rounding not in ROUNDINGS:
        raise ValueError(
            f"rounding mode must be one of {', '.join(ROUNDINGS)}, not {rounding}; set float_to_int_impl_type to ROUND"
        )
    signed, narrow = (bool(attributes.get_nodeattr(name)) for name in ("signed", "narrow"))
    if narrow and not signed:  # it would leave the largest code out
        raise ValueError("narrow must be 0 where signed is 0, not 1; set narrow_range to False")
    return signed, narrow, rounding


def quantized_constant(model: ModelWrapper, node: NodeProto) -> QuantizedConstant | None:
    """Return the integers of a quantiser of an initialiser; None if its input is not one.

    Raises:
        ValueError: If the values are not finite, or the quantiser's parameters are refused.
    """
    values = model.get_initializer(node.input[0])
    if values is None:
        return None
    quantizer = read_quantizer(model, node)
    if not np.isfinite(values).all():
        raise ValueError("weights must be finite, not NaN or infinite; train again, with a lower learning rate")
    codes = quantizer.codes(np.asarray(values, np.float32)) - quantizer.zero_point
    return QuantizedConstant(codes, np.asarray(quantizer.scale), quantizer)
