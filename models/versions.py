"""The versions that a result depends on."""

import importlib.metadata
from collections.abc import Iterable

TRAINING = ("bitwright", "torch", "brevitas", "lightning", "numpy")
"""What the weights of a training depend on."""


def versions(parts: Iterable[str] = TRAINING) -> dict[str, str]:
    """Return the installed version of every part; "missing" where it is not there.

    >>> versions(["no such package"])
    {'no such package': 'missing'}
    """
    found = {}
    for part in parts:
        try:
            found[part] = importlib.metadata.version(part)
        except importlib.metadata.PackageNotFoundError:
            found[part] = "missing"
    return found
