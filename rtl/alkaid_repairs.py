"""alkaid 0.8.2, repaired where it gives other integers: imported before anything is traced."""

import alkaid.trace.affine_interval
import alkaid.trace.fixed_variable
import alkaid.trace.fixed_variable_array
import alkaid.trace.passes.canon
import alkaid.trace.tracer

ZERO = 127
"""What alkaid says of 0."""


def lowest_bit(value: float) -> int:
    """Return the exponent of a number's lowest bit that is set; of any float64, where alkaid's own takes float32.

    >>> lowest_bit(6.0), lowest_bit(-0.75), lowest_bit(37642561.0)
    (1, -2, 0)
    """
    whole, parts = value.as_integer_ratio()
    if whole == 0:
        return ZERO
    return 1 - parts.bit_length() if parts > 1 else (whole & -whole).bit_length() - 1


for module in (
    alkaid.trace.affine_interval,
    alkaid.trace.fixed_variable,
    alkaid.trace.fixed_variable_array,
    alkaid.trace.passes.canon,
    alkaid.trace.tracer,
):
    module.get_lsb_loc = lambda value: lowest_bit(float(value))

# The pass drops a shift of some one-bit wraps
alkaid.trace.passes.canon.canonicalize_msb_wraps = lambda logic: logic
