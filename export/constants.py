"""Constants of a graph: weights and biases on their integer grid."""

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from bitwright.export.operations import Integers
from bitwright.export.quantizer import Floats, Quantizer

QUANTIZERS = ("Quant", "BipolarQuant")


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """A constant tensor as ``codes * scale``.

    Args:
        codes: Integers of the tensor's shape.
        scale: Of the tensor's shape, or broadcastable to it.
        quantizer: Where they come from.
    """

    codes: Integers
    scale: Floats
    quantizer: Quantizer

    def transposed(self) -> "QuantizedConstant":
        """Return the transpose of a matrix."""
        return QuantizedConstant(self.codes.T, np.broadcast_to(self.scale, self.codes.shape).T, self.quantizer)

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
    """Return a quantiser node's parameters.

    Raises:
        ValueError: If a parameter is not constant, not a possible one, or a zero point is not zero.
    """
    parameters = [model.get_initializer(name) for name in node.input[1:]]
    if any(value is None for value in parameters):
        raise ValueError(
            "scale, zero point and bit width must be constants, not computed; export the network in eval mode"
        )
    scale = np.asarray(parameters[0], np.float32)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(
            f"scale must be positive and finite, not {float(scale[~(scale > 0) | ~np.isfinite(scale)].flat[0])}; "
            "train again"
        )
    if node.op_type == "BipolarQuant":
        return Quantizer(scale, bit_width=1, signed=True, narrow=False, bipolar=True)
    zero_point, bit_width = (np.asarray(value).reshape(-1) for value in parameters[1:3])
    if (zero_point != 0).any():
        raise ValueError(f"zero point must be 0, not {zero_point[zero_point != 0][0]}; use a symmetric quantiser")
    width = float(bit_width[0])
    if not (width.is_integer() and 1 <= width <= 32):
        raise ValueError(f"bit width must be a whole number from 1 to 32, not {width}; change the recipe")
    if (bit_width != width).any():
        raise ValueError(
            f"bit width must be one for all channels, not {sorted(set(bit_width.tolist()))}; use one width"
        )
    attributes = getCustomOp(node)
    rounding = attributes.get_nodeattr("rounding_mode")
    if rounding != "ROUND":
        raise ValueError(
            f"rounding mode must be ROUND (half to even), not {rounding}; set float_to_int_impl_type to ROUND"
        )
    signed, narrow = (bool(attributes.get_nodeattr(name)) for name in ("signed", "narrow"))
    if narrow and not signed:  # it would leave the largest code out
        raise ValueError("narrow must be 0 where signed is 0, not 1; set narrow_range to False")
    return Quantizer(
        scale,
        bit_width=int(width),
        signed=signed,
        narrow=narrow,
        bipolar=width == 1 and signed,  # as qonnx and Brevitas compute it
    )


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
    codes = quantizer.codes(np.asarray(values, np.float32))
    return QuantizedConstant(codes, np.asarray(quantizer.scale), quantizer)
