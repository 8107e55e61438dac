"""hls4ml's layer for `Table`, through its extension API: its own indexes by the source's type, whatever that is."""

from math import prod
from typing import Any, ClassVar

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute
from hls4ml.model.layers import Layer
from hls4ml.model.types import NamedType

CLASS_NAME = "BitwrightTable"
HEADER = "nnet_bitwright_table.h"


class BitwrightTable(Layer):  # type: ignore[misc]  # hls4ml ships no types
    """Looks every value up; see the C++ header."""

    _expected_attributes: ClassVar = [
        Attribute("n_in"),
        Attribute("table_size"),
        WeightAttribute("table"),
        TypeAttribute("table"),
        TypeAttribute("code"),
    ]

    def initialize(self) -> None:
        """Declare the result, of the input's shape, and the table."""
        source = self.get_input_variable()
        self.set_attr("n_in", prod(source.shape))
        self.add_output_variable(source.shape)
        self.add_weights_variable(name="table", var_name="table{index}", type_name="table{index}_t")
        precision, _ = self.model.config.get_precision(self, "code")
        self.set_attr("code_t", NamedType(f"code{self.index}_t", precision))


class Config(LayerConfigTemplate):  # type: ignore[misc]
    """Text of the layer's constants."""

    def __init__(self) -> None:
        super().__init__(BitwrightTable)
        self.template = """struct config{index} : nnet::bitwright_table_config {{
    static const unsigned n_in = {n_in};
    static const unsigned table_size = {table_size};
    typedef {table_t.name} table_t;
    typedef {code_t.name} code_t;
}};\n"""

    def format(self, node: Any) -> str:  # noqa: ANN401
        """Fill in."""
        return str(self.template.format(**self._default_config_params(node)))


class Call(FunctionCallTemplate):  # type: ignore[misc]
    """Text of the layer's call."""

    def __init__(self) -> None:
        super().__init__(BitwrightTable, include_header=[f"nnet_utils/{HEADER}"])
        self.template = "nnet::bitwright_table<{input_t}, {output_t}, {config}>({input}, {output}, {table});"

    def format(self, node: Any) -> str:  # noqa: ANN401
        """Fill in."""
        parameters = self._default_function_params(node)
        parameters["table"] = node.get_weights("table").name
        return str(self.template.format(**parameters))
