"""A design on disk: the sources that alkaid writes, the testbench, and what is known about them."""

import math
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Literal

from alkaid.codegen import RTLModel
from alkaid.types import CombLogic
from pydantic import NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.rtl.folded import INPUT, OUTPUT, Folded, folded
from bitwright.rtl.port import Port
from bitwright.rtl.trace import trace

Language = Literal["verilog", "vhdl"]

TOP = "network_wrapper"
FACTS = "design.json"


@dataclass(frozen=True)
class Design:
    """A pipelined design that takes an input every clock, or every few clocks.

    Args:
        language: Of its sources.
        input: The port ``model_inp``.
        output: The port ``model_out``.
        latency_cycles: Rising clock edges from an input to its output: one for each register on the way.
        initiation_interval: Clocks from one input to the next.
        register_bits: Flip-flops.
        lut_estimate: LUT, as alkaid estimates them.
        latency_cutoff: Delay of the longest stage at most, in alkaid's units: some one for each LUT.
    """

    language: Language
    input: Port
    output: Port
    latency_cycles: PositiveInt
    initiation_interval: PositiveInt
    register_bits: NonNegativeInt
    lut_estimate: float
    latency_cutoff: float


def write_design(
    program: Program,
    folder: Path,
    language: Language = "verilog",
    latency_cutoff: float = 5.0,
    *,
    reuse_factor: int = 1,
    part: str = "xcvu13p-flga2577-2-e",
    clock_period_ns: float = 5.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Design:
    """Trace a program and write its design, in place of one that is there.

    Writes ``src/``, ``testbench.v``, ``design.json``, and scripts that build it with Vivado or Quartus.

    Args:
        program: The integer program.
        folder: For the design.
        language: Of the sources.
        latency_cutoff: A register follows where the delay would be longer, in alkaid's units.
        reuse_factor: Clocks from one input to the next: above 1, logic is used clock after clock
            (`bitwright.rtl.folded`).
        part: For the vendor's scripts.
        clock_period_ns: For the vendor's scripts.
        progress: Called with what is being done.

    Raises:
        ValueError: If an operation cannot be held.
        OSError: If the folder cannot be written.
    """
    if not 0 < latency_cutoff < math.inf:
        raise ValueError(f"rtl: latency_cutoff must be above 0 and finite, not {latency_cutoff}; 5 is a start")
    if reuse_factor < 1:
        raise ValueError(f"rtl: reuse_factor must be 1 or more, not {reuse_factor}; 1 takes an input every clock")
    logic = trace(program, progress) if reuse_factor == 1 else folded(program, reuse_factor, latency_cutoff, progress)
    progress(f"writing {language}")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model = RTLModel(
        logic.machine if isinstance(logic, Folded) else logic,
        partial,
        prj_name=TOP.removesuffix("_wrapper"),
        flavor=language,
        latency_cutoff=latency_cutoff,
        part_name=part,
        clock_period=clock_period_ns,
        ternary_fuse=False,  # adders of three inputs cost more LUT in Yosys
    )
    model.write()
    shutil.rmtree(partial / "sim")  # of alkaid's own simulation
    design = _facts(program, logic, model, language, latency_cutoff, reuse_factor)
    (partial / "testbench.v").write_text(testbench(design))
    (partial / FACTS).write_bytes(TypeAdapter(Design).dump_json(design, indent=2) + b"\n")
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)
    return design


def _facts(
    program: Program,
    logic: CombLogic | Folded,
    model: RTLModel,
    language: Language,
    latency_cutoff: float,
    reuse_factor: int,
) -> Design:
    given, found = (model.fsm.signals[name] for name in (INPUT, OUTPUT))
    bits = isinstance(program.output.format, Bipolar), isinstance(program.input.format, Bipolar)
    return Design(
        language=language,
        input=_port(given, bipolar=bits[1]),
        output=_port(found, bipolar=bits[0]),
        latency_cycles=logic.latency_cycles if isinstance(logic, Folded) else int(found.schedule.bias),
        initiation_interval=reuse_factor,
        register_bits=int(model.reg_bits),
        lut_estimate=logic.lut_estimate if isinstance(logic, Folded) else float(logic.cost),
        latency_cutoff=latency_cutoff,
    )


def _port(signal: object, *, bipolar: bool) -> Port:
    """Return what the wrapper makes of a signal: every value as wide as the widest."""
    kept = [tuple(precision) for precision in signal.precisions]  # type: ignore[attr-defined]
    signed, integer, fractional = (max(column) for column in zip(*kept, strict=True))
    width = int(signed + integer + fractional)
    return Port(values=len(kept), width=width, signed=bool(signed), bipolar=bipolar, step=1 << int(-fractional))


def testbench(design: Design) -> str:
    """Return a Verilog testbench."""
    text = (files("bitwright.rtl") / "templates" / "testbench.v").read_text()
    facts = {
        "LATENCY_CYCLES": design.latency_cycles,
        "INTERVAL": design.initiation_interval,
        "INPUT_BITS": design.input.bits,
        "OUTPUT_BITS": design.output.bits,
        "TOP": TOP,
    }
    for name, value in facts.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def read_design(folder: Path) -> Design:
    """Read `design.json`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is none of `write_design`.
    """
    path = folder / FACTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: design must be there, not missing; run `bitwright rtl` first")
    try:
        return TypeAdapter(Design).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path}: {where or 'file'} must be what `bitwright rtl` wrote, not changed ({first['msg']}); run it again"
        ) from error


def sources(folder: Path, language: Language) -> list[Path]:
    """Return the source files of a design, what others stand on first."""
    suffix = "v" if language == "verilog" else "vhd"
    own = sorted((folder / "src").glob(f"*.{suffix}"))
    top = folder / "src" / f"{TOP.removesuffix('_wrapper')}.{suffix}"
    wrapper = folder / "src" / f"{TOP}.{suffix}"
    # Tables before the logic that reads them
    order = sorted((path for path in own if path not in (top, wrapper)), key=lambda path: "table" not in path.name)
    return [*sorted((folder / "src" / "static").glob(f"*.{suffix}")), *order, top, wrapper]
