"""The operations of an integer program. Each runs itself, on int64, channels last: they are the oracle."""

from bitwright.export.operation import Input, Integers, Interval, Operation, Shape, Tensor, UnaryOperation
from bitwright.export.operation_join import Add, Concat, Join, Multiply
from bitwright.export.operation_linear import Conv2d, Dense, DepthwiseConv2d, Linear
from bitwright.export.operation_pool import MaxPool2d, Upsample
from bitwright.export.operation_quantize import Affine, MultiplyAdd, Quantizing, Requantize, Table, Threshold
from bitwright.export.operation_shape import Flatten, Reshape, Transpose

__all__ = [
    "Add",
    "Affine",
    "Concat",
    "Conv2d",
    "Dense",
    "DepthwiseConv2d",
    "Flatten",
    "Input",
    "Integers",
    "Interval",
    "Join",
    "Linear",
    "MaxPool2d",
    "Multiply",
    "MultiplyAdd",
    "Operation",
    "Quantizing",
    "Requantize",
    "Reshape",
    "Shape",
    "Table",
    "Tensor",
    "Threshold",
    "Transpose",
    "UnaryOperation",
    "Upsample",
]
