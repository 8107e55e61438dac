"""Figures that are no numbers: where JSON has NaN or infinity, which JSON itself does not know."""

import math


def not_finite(content: object, before: str = "") -> str | None:
    """Return the key of the first number that is NaN or infinite, with those above it; None if all are finite.

    Args:
        content: What `json.loads` returned.
        before: Keys above it, each with a point behind.

    >>> not_finite({"levels": {"torch": {"accuracy": 0.5, "seconds": float("nan")}}})
    'levels.torch.seconds'
    >>> not_finite([1, 2.5, None]), not_finite({"values": [0.0, float("inf")]})
    (None, 'values.1')
    """
    match content:
        case dict():
            entries = list(content.items())
        case list():
            entries = list(enumerate(content))
        case _:
            return before.removesuffix(".") if isinstance(content, float) and not math.isfinite(content) else None
    found = (not_finite(value, f"{before}{name}.") for name, value in entries)
    return next((key for key in found if key is not None), None)
