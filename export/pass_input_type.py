"""Pass: quantise the input of a network that has no quantiser there, by a type that the user gives."""

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.constants import QUANTIZERS
from bitwright.export.lower_host import HOST
from bitwright.quant.fixed_point import FixedPoint

DOMAIN, VERSION = "qonnx.custom_op.general", 2
NAME = "input_quantizer"


def quantize_input(model: ModelWrapper, form: FixedPoint) -> ModelWrapper:
    """Return the graph with a quantiser before its first layer; the argument stays as it is.

    It rounds half to even and saturates, behind whatever the host computes first (``x / 255``, mean and deviation).

    Args:
        model: Without a quantiser of its input.
        form: Width, binary point and sign of the integers; narrow where it saturates symmetrically.

    Raises:
        ValueError: If the input is quantised already, or leads to several nodes.
    """
    result = ModelWrapper(model.model, make_deepcopy=True)
    name, position = result.graph.input[0].name, 0
    while True:
        following = result.find_consumers(name) or []
        if any(node.op_type in QUANTIZERS for node in following):
            raise ValueError(
                f"{following[0].name or following[0].output[0]} ({following[0].op_type}): input must be without a "
                "quantiser where --input-type gives one, not with one; leave --input-type out"
            )
        if len(following) != 1 or following[0].op_type not in HOST:
            break
        position = list(result.graph.node).index(following[0]) + 1
        name = following[0].output[0]
    _insert(result, name, position, form)
    return result


def _insert(model: ModelWrapper, name: str, position: int, form: FixedPoint) -> None:
    """Put a `Quant` behind a tensor, before all that read it."""
    quantised = f"{name}_{NAME}"
    constants = {"scale": form.step, "zero_point": 0.0, "bit_width": float(form.width)}
    inputs = []
    for role, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), f"{NAME}.{role}"))
        inputs.append(f"{NAME}.{role}")
    node: NodeProto = helper.make_node(
        "Quant",
        [name, *inputs],
        [quantised],
        name=NAME,
        domain=DOMAIN,
        signed=int(form.signed),
        narrow=int(form.signed and form.overflow == "AP_SAT_SYM"),
        rounding_mode="ROUND",
    )
    for reader in model.find_consumers(name) or []:
        reader.input[:] = [quantised if read == name else read for read in reader.input]
    model.graph.node.insert(position, node)
    shape = model.get_tensor_shape(name)
    if shape:
        model.graph.value_info.append(helper.make_tensor_value_info(quantised, TensorProto.FLOAT, shape))
    if not any(entry.domain == DOMAIN for entry in model.model.opset_import):
        model.model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
