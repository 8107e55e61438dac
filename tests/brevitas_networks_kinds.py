"""The features that a random Brevitas network may have."""

LAYER_KINDS = frozenset({"linear", "conv1d", "conv2d", "grouped", "strided", "dilated", "padded"})
WEIGHT_KINDS = frozenset({"binary_weights", "ternary_weights", "per_channel_weights", "wide_range_weights"})
BIAS_KINDS = frozenset({"float_bias", "quantised_bias"})
ACTIVATION_KINDS = frozenset(
    {"binary", "ternary", "per_channel", "shifted", "hard_tanh", "sigmoid", "wide", "narrow", "fixed_scale", "twice"}
)
FLOAT_KINDS = frozenset({"batch_norm", "bent"})
SHAPE_KINDS = frozenset({"max_pool", "average", "trunc", "upsample", "reshape", "permute", "image_end"})
JOIN_KINDS = frozenset({"add", "add_shared", "eltwise_add", "concat", "concat_shared"})
END_KINDS = frozenset({"normalised", "affine", "softmax", "quantised_end"})

KINDS = (
    LAYER_KINDS
    | WEIGHT_KINDS
    | BIAS_KINDS
    | ACTIVATION_KINDS
    | FLOAT_KINDS
    | SHAPE_KINDS
    | JOIN_KINDS
    | END_KINDS
    | {"dead_channel"}
)
"""Every feature; of "linear", "conv1d" and "conv2d" at least one is needed."""

EXACT_KINDS = KINDS - FLOAT_KINDS - {"float_bias", "sigmoid", "affine", "softmax", "dead_channel"}
"""With powers of two as scales, float32 rounds nowhere on the way, or torch and onnxruntime round alike."""
