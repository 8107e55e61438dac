"""Layers of ours that hls4ml's back ends are taught."""

from importlib import resources
from pathlib import Path

import hls4ml
from hls4ml.model.layers import register_layer

from bitwright.hls import move_layer, table_layer, threshold_layer

LAYERS = (
    (threshold_layer, threshold_layer.BitwrightThreshold),
    (table_layer, table_layer.BitwrightTable),
    (move_layer, move_layer.BitwrightMove),
)


def register(backend_name: str) -> None:
    """Teach an hls4ml back end the layers; once is enough, and more does no harm."""
    backend = hls4ml.backends.get_backend(backend_name)
    taught = getattr(backend, "_bitwright", False)
    for module, layer in LAYERS:
        if module.CLASS_NAME not in hls4ml.model.layers.layer_map:
            register_layer(module.CLASS_NAME, layer)
        if not taught:
            backend.register_template(module.Config)
            backend.register_template(module.Call)
            backend.register_source(Path(str(resources.files("bitwright.hls").joinpath("templates", module.HEADER))))
    backend._bitwright = True
