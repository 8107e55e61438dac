"""hls4ml's layer for `Threshold`, through its extension API: its own take neither either direction nor several bits."""

from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import hls4ml
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute
from hls4ml.model.layers import Layer, register_layer

CLASS_NAME = "BitwrightThreshold"
HEADER = "nnet_bitwright_threshold.h"


class BitwrightThreshold(Layer):  # type: ignore[misc]  # hls4ml ships no types
    """Compares every value with its channel's thresholds; see the C++ header."""

    _expected_attributes: ClassVar = [
        Attribute("n_in"),
        Attribute("n_chan"),
        Attribute("n_steps"),
        Attribute("base"),
        WeightAttribute("threshold"),
        WeightAttribute("rising"),
        TypeAttribute("threshold"),
        TypeAttribute("rising"),
    ]

    def initialize(self) -> None:
        """Declare the result, of the input's shape, and the constants."""
        source = self.get_input_variable()
        size = 1
        for dimension in source.shape:
            size *= dimension
        self.set_attr("n_in", size)
        self.add_output_variable(source.shape)
        self.add_weights_variable(name="threshold", var_name="t{index}", type_name="threshold{index}_t")
        self.add_weights_variable(name="rising", var_name="r{index}", type_name="rising{index}_t")


class _Config(LayerConfigTemplate):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(BitwrightThreshold)
        self.template = """struct config{index} : nnet::bitwright_threshold_config {{
    static const unsigned n_in = {n_in};
    static const unsigned n_chan = {n_chan};
    static const unsigned n_steps = {n_steps};
    static const int base = {base};
    typedef {threshold_t.name} threshold_t;
    typedef {rising_t.name} rising_t;
}};\n"""

    def format(self, node: Any) -> str:  # noqa: ANN401
        return str(self.template.format(**self._default_config_params(node)))


class _Call(FunctionCallTemplate):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(BitwrightThreshold, include_header=[f"nnet_utils/{HEADER}"])
        self.template = (
            "nnet::bitwright_threshold<{input_t}, {output_t}, {config}>({input}, {output}, {threshold}, {rising});"
        )

    def format(self, node: Any) -> str:  # noqa: ANN401
        parameters = self._default_function_params(node)
        for role in ("threshold", "rising"):
            parameters[role] = node.get_weights(role).name
        return str(self.template.format(**parameters))


def register(backend_name: str) -> None:
    """Teach an hls4ml back end the layer; once is enough, and more does no harm."""
    if CLASS_NAME not in hls4ml.model.layers.layer_map:
        register_layer(CLASS_NAME, BitwrightThreshold)
    backend = hls4ml.backends.get_backend(backend_name)
    if getattr(backend, "_bitwright", False):
        return
    backend.register_template(_Config)
    backend.register_template(_Call)
    backend.register_source(Path(str(resources.files("bitwright.hls").joinpath("templates", HEADER))))
    backend._bitwright = True
