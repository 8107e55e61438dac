"""hls4ml's layer for `Threshold`, through its extension API: its own take neither either direction nor several bits."""

from math import prod
from typing import Any, ClassVar

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute
from hls4ml.model.layers import Layer

CLASS_NAME = "BitwrightThreshold"
HEADER = "nnet_bitwright_threshold.h"


class BitwrightThreshold(Layer):  # type: ignore[misc]  # hls4ml ships no types
    """Compares every value with its channel's thresholds; see the C++ header."""

    _expected_attributes: ClassVar = [
        Attribute("n_in"),
        Attribute("n_chan"),
        Attribute("n_steps"),
        Attribute("base"),
        Attribute("finer"),
        WeightAttribute("threshold"),
        WeightAttribute("rising"),
        TypeAttribute("threshold"),
        TypeAttribute("rising"),
    ]

    def initialize(self) -> None:
        """Declare the result, of the input's shape, and the constants."""
        source = self.get_input_variable()
        self.set_attr("n_in", prod(source.shape))
        self.add_output_variable(source.shape)
        self.add_weights_variable(name="threshold", var_name="t{index}", type_name="threshold{index}_t")
        self.add_weights_variable(name="rising", var_name="r{index}", type_name="rising{index}_t")


class Config(LayerConfigTemplate):  # type: ignore[misc]
    """Text of the layer's constants."""

    def __init__(self) -> None:
        super().__init__(BitwrightThreshold)
        self.template = """struct config{index} : nnet::bitwright_threshold_config {{
    static const unsigned n_in = {n_in};
    static const unsigned n_chan = {n_chan};
    static const unsigned n_steps = {n_steps};
    static const int base = {base};
    static const unsigned finer = {finer};
    typedef {threshold_t.name} threshold_t;
    typedef {rising_t.name} rising_t;
}};\n"""

    def format(self, node: Any) -> str:  # noqa: ANN401
        """Fill in."""
        return str(self.template.format(**self._default_config_params(node)))


class Call(FunctionCallTemplate):  # type: ignore[misc]
    """Text of the layer's call."""

    def __init__(self) -> None:
        super().__init__(BitwrightThreshold, include_header=[f"nnet_utils/{HEADER}"])
        self.template = (
            "nnet::bitwright_threshold<{input_t}, {output_t}, {config}>({input}, {output}, {threshold}, {rising});"
        )

    def format(self, node: Any) -> str:  # noqa: ANN401
        """Fill in."""
        parameters = self._default_function_params(node)
        for role in ("threshold", "rising"):
            parameters[role] = node.get_weights(role).name
        return str(self.template.format(**parameters))
