"""hls4ml's layer for what moves values, through its extension API.

Its own lose their name (`Repack`), take no type of their own (`Resize`, `Transpose`), are removed behind an input of
one row (`Transpose`), or lose values where a stream's packets do not divide one another (`Repack`).
"""

from math import prod
from typing import Any, ClassVar

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer

CLASS_NAME = "BitwrightMove"
HEADER = "nnet_bitwright_move.h"


class BitwrightMove(Layer):  # type: ignore[misc]  # hls4ml ships no types
    """Reshapes, transposes or repeats; see the C++ header."""

    _expected_attributes: ClassVar = [
        Attribute("function", value_type=str),
        Attribute("shape", value_type=list),
        Attribute("n_in"),
        *[Attribute(f"{part}_{axis}") for part in ("size", "stride") for axis in range(3)],
        Attribute("repeat_0"),
        Attribute("repeat_1"),
    ]

    def initialize(self) -> None:
        """Declare the result."""
        self.set_attr("n_in", prod(self.get_input_variable().shape))
        self.add_output_variable(list(self.get_attr("shape")))


class Config(LayerConfigTemplate):  # type: ignore[misc]
    """Text of the layer's constants."""

    def __init__(self) -> None:
        super().__init__(BitwrightMove)
        names = (
            "n_in",
            *[f"{part}_{axis}" for part in ("size", "stride") for axis in range(3)],
            "repeat_0",
            "repeat_1",
        )
        lines = "\n".join(f"    static const unsigned {name} = {{{name}}};" for name in names)
        self.template = f"struct config{{index}} : nnet::bitwright_move_config {{{{\n{lines}\n}}}};\n"

    def format(self, node: Any) -> str:  # noqa: ANN401
        """Fill in."""
        return str(self.template.format(**self._default_config_params(node)))


class Call(FunctionCallTemplate):  # type: ignore[misc]
    """Text of the layer's call."""

    def __init__(self) -> None:
        super().__init__(BitwrightMove, include_header=[f"nnet_utils/{HEADER}"])
        self.template = "nnet::bitwright_{function}<{input_t}, {output_t}, {config}>({input}, {output});"

    def format(self, node: Any) -> str:  # noqa: ANN401
        """Fill in."""
        parameters = self._default_function_params(node)
        parameters["function"] = node.get_attr("function")
        return str(self.template.format(**parameters))
