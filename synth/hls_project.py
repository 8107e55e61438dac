"""What an hls4ml project says of itself in `project.tcl`."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HlsProject:
    """An hls4ml project of the Vivado or Vitis back end.

    Args:
        folder: Where it lies.
        name: Of the top function and its files.
        backend: As in "vitis".
        part: Device.
    """

    folder: Path
    name: str
    backend: str
    part: str


def read_hls_project(folder: Path) -> HlsProject:
    """Read `project.tcl`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it lacks a variable.
    """
    path = folder / "project.tcl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: project must be there, not missing; run `bitwright hls` first")
    text = path.read_text()
    found = {}
    for variable in ("project_name", "backend", "part"):
        value = re.search(rf'^set {variable} "?([^"\s]+)"?\s*$', text, re.M)
        if value is None:
            raise ValueError(f"{path}: variable {variable} must be set, not missing; run `bitwright hls` again")
        found[variable] = value[1]
    return HlsProject(folder, found["project_name"], found["backend"], found["part"])
