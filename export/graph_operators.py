"""What is wrong with an operator's shapes that onnx's inference does not see, or does not survive.

1. Convolution and pooling: attributes of another number of axes (onnx reads beyond their end), channels that differ.
2. Inputs that are numbers or vectors: bounds, ratios, shapes.
3. The bias of `Gemm`, the order of `Transpose`.
4. Parameters of quantisers: NumPy would spread the values over the parameter's shape, and qonnx with it.
"""

from collections.abc import Mapping, Sequence

from onnx import NodeProto

from bitwright.export.graph_tensors import shown

Sizes = Sequence[int | str]
"""Sizes of a tensor; names where they are not numbers."""

WINDOWS = ("Conv", "MaxPool", "AveragePool")

RANKS = {
    ("Clip", 1): 0,
    ("Clip", 2): 0,
    ("Dropout", 1): 0,
    ("Dropout", 2): 0,
    ("Reshape", 1): 1,
    ("Expand", 1): 1,
    ("Tile", 1): 1,
    ("ConstantOfShape", 0): 1,
}
"""Axes that an input has: 0 is a number, 1 a vector."""


def operator_fault(node: NodeProto, shapes: Mapping[str, Sizes | None]) -> str:
    """Say what is wrong with the shapes of a standard operator's inputs, or nothing.

    Args:
        node: One whose attributes `graph_check` let pass.
        shapes: Of its inputs, by name; None where there is none.
    """
    for place, name in enumerate(node.input):
        rank, sizes = RANKS.get((node.op_type, place)), shapes.get(name)
        if rank is not None and sizes is not None and len(sizes) != rank:
            return f"input {name} must be a {'vector' if rank else 'number'}, not of the shape {shown(sizes)}"
    found = [shapes.get(name) for name in node.input]
    if node.op_type in WINDOWS and found[0] is not None:
        return _window(node, found)
    if node.op_type == "Transpose" and found[0] is not None:
        return _permutation(node, len(found[0]))
    if node.op_type == "Gemm" and len(found) > 2:
        return _gemm_bias(node, found)
    return ""


def _window(node: NodeProto, shapes: Sequence[Sizes | None]) -> str:
    data, weight = shapes[0], shapes[1] if node.op_type == "Conv" else None
    assert data is not None
    if len(data) < 3:
        return f"values must have 3 axes or more, not the shape {shown(data)}"
    if weight is not None and len(weight) != len(data):
        return f"weights must have {len(data)} axes as the values have, not the shape {shown(weight)}"
    spatial = len(data) - 2
    lengths = {"kernel_shape": spatial, "strides": spatial, "dilations": spatial, "pads": 2 * spatial}
    for entry in node.attribute:
        if entry.name in lengths and len(entry.ints) != lengths[entry.name]:
            return f"attribute {entry.name} must have {lengths[entry.name]} numbers, not {len(entry.ints)}"
        if entry.name == "kernel_shape" and weight is not None and _differ(entry.ints, weight[2:]):
            return f"attribute kernel_shape must be that of the weights, {shown(weight[2:])}, not {shown(entry.ints)}"
    return "" if weight is None else _channels(node, data, weight, shapes[2] if len(shapes) > 2 else None)


def _channels(node: NodeProto, data: Sizes, weight: Sizes, bias: Sizes | None) -> str:
    group = next((int(entry.i) for entry in node.attribute if entry.name == "group"), 1)
    filters, channels = weight[0], weight[1]
    if isinstance(channels, int) and _differ([channels * group], data[1:2]):
        return f"weights must be of {data[1]} channels, not {channels} in {group} groups"
    if isinstance(filters, int) and filters % group:
        return f"filters must be a multiple of the {group} groups, not {filters}"
    if bias is not None and (len(bias) != 1 or _differ(bias, [filters])):
        return f"bias must be of the shape ({filters}), not {shown(bias)}"
    return ""


def _permutation(node: NodeProto, rank: int) -> str:
    for entry in node.attribute:
        if entry.name == "perm" and sorted(entry.ints) != list(range(rank)):
            return f"attribute perm must be an order of {rank} axes, not {shown(entry.ints)}"
    return ""


def _gemm_bias(node: NodeProto, shapes: Sequence[Sizes | None]) -> str:
    """The bias must spread over the product's shape, and the product not over the bias."""
    transposed = {entry.name: bool(entry.i) for entry in node.attribute}
    left, right, bias = shapes[:3]
    if left is None or right is None or bias is None or len(left) != 2 or len(right) != 2:
        return ""
    rows, columns = left[1 if transposed.get("transA") else 0], right[0 if transposed.get("transB") else 1]
    if spreads(bias, [rows, columns]):
        return ""
    return f"bias must spread over the result's shape {shown([rows, columns])}, not have the shape {shown(bias)}"


def quantizer_fault(name: str, parameter: Sizes, data: Sizes) -> str:
    """Say what is wrong with the shape of a quantiser's parameter, or nothing."""
    if spreads(parameter, data):
        return ""
    return f"parameter {name} must spread over the values' shape {shown(data)}, not have the shape {shown(parameter)}"


def spreads(sizes: Sizes, over: Sizes) -> bool:
    """Return whether a tensor of one shape is repeated along another, that stays as it is.

    >>> spreads([3, 1], ["N", 3, 4]), spreads([1, 1], [4]), spreads([4], [1])
    (True, False, False)
    """
    return len(sizes) <= len(over) and all(
        size in (1, other) for size, other in zip(reversed(sizes), reversed(over), strict=False)
    )


def _differ(left: Sequence[int | str], right: Sizes) -> bool:
    return len(left) != len(right) or any(
        a != b for a, b in zip(left, right, strict=True) if isinstance(a, int) and isinstance(b, int)
    )
