"""The versions that are installed, and those that are asked for."""

import importlib.metadata
import re

from bitwright.models.versions import versions

PARTS = ("bitwright", "torch", "brevitas", "qonnx", "onnx", "onnxruntime", "hls4ml", "numpy", "lightning")


def installed() -> dict[str, str]:
    """Return the installed version of every part; "missing" where it is not there."""
    return versions(PARTS)


def pins() -> dict[str, str]:
    """Return the version that Bitwright asks for of every pinned package.

    >>> pins()["hls4ml"]
    '1.3.0'
    """
    required = importlib.metadata.requires("bitwright") or []
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in required if "extra ==" not in line)
    return {match[1]: match[2] for match in found if match}
