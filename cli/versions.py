"""The versions that a result depends on."""

import importlib.metadata
import re

PARTS = ("bitwright", "torch", "brevitas", "qonnx", "onnx", "onnxruntime", "hls4ml", "numpy", "lightning")


def installed() -> dict[str, str]:
    """Return the installed version of every part; "missing" where it is not there."""
    versions = {}
    for part in PARTS:
        try:
            versions[part] = importlib.metadata.version(part)
        except importlib.metadata.PackageNotFoundError:
            versions[part] = "missing"
    return versions


def pins() -> dict[str, str]:
    """Return the version that Bitwright asks for of every pinned package.

    >>> pins()["hls4ml"]
    '1.3.0'
    """
    required = importlib.metadata.requires("bitwright") or []
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in required if "extra ==" not in line)
    return {match[1]: match[2] for match in found if match}
