"""The command `estimate`: what a network would cost, before anything is built."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.table import Table

from bitwright.cli.console import out
from bitwright.cli.estimate_data import json_text
from bitwright.cli.experiment import explain
from bitwright.cli.named_run import exported, target_without_run
from bitwright.cli.stage_convert import read_graph
from bitwright.cli.stage_export import load_program
from bitwright.estimates import network
from bitwright.estimates.cost import LayerCost
from bitwright.estimates.describe import describe
from bitwright.estimates.errors import MeasuredErrors, measured, spreads
from bitwright.estimates.fit import propose
from bitwright.estimates.network import NetworkEstimate
from bitwright.estimates.settings import settings_of
from bitwright.export.lower import lower
from bitwright.export.precision import Precision, minimal, read_precision
from bitwright.export.program import Program
from bitwright.hls.target import Target
from bitwright.rtl.size import lut_estimates

TITLES = {
    "lut": "LUT",
    "ff": "FF",
    "dsp": "DSP",
    "bram_18k": "BRAM 18K",
    "latency_cycles": "latency",
    "initiation_interval_cycles": "interval",
}


@dataclass(frozen=True, eq=False)
class Source:
    """What is to be estimated.

    Args:
        name: As it was given.
        program: The integer program.
        precision: Its types.
        target: What it is built for, unless options say otherwise.
    """

    name: str
    program: Program
    precision: Precision
    target: Target


def read(
    where: Path,
    runs_dir: Path,
    overrides: Iterable[str],
    *,
    input_type: str | None = None,
    allow_approximate: bool = False,
) -> Source:
    """Read an exported run, or lower a QONNX file.

    Raises:
        ValueError: If it is refused.
        OSError: If a file cannot be read.
    """
    if where.suffix == ".onnx":
        target = target_without_run(where, overrides, ["hls"])
        lowered = lower(read_graph(where, input_type), str(where), allow_approximate=allow_approximate)
        return Source(str(where), lowered.program, minimal(lowered.program), target)
    run, target = exported(where, runs_dir, overrides, heeded=["hls"])
    program = load_program(run)
    precision = read_precision(run.precision, program) if run.precision.is_file() else minimal(program)
    return Source(str(where), program, precision, target)


def estimate(
    source: Source, wanted: Mapping[str, object], form: str, *, fit: bool, target_rate_mhz: float | None
) -> bool:
    """Print the estimate, or that of a proposal.

    Args:
        source: What is to be estimated.
        wanted: Settings of the target that differ from the source's.
        form: "table" or "json".
        fit: Whether to propose what fits the device.
        target_rate_mhz: Rate that a proposal must reach, if one is wanted.

    Returns:
        Whether synthesis would take it and the device hold it.

    Raises:
        ValueError: If a setting is refused, or no proposal can be made.
    """
    if target_rate_mhz is not None and not target_rate_mhz > 0:
        raise ValueError(f"--target-rate-mhz: rate must be above 0, not {target_rate_mhz:g}; 1 is a start")
    settings = settings_of(_target(source.target, wanted))
    layers = describe(source.program, source.precision, settings.part.speed)
    proposes = fit or target_rate_mhz is not None
    found = propose(layers, settings, target_rate_mhz) if proposes else network.estimate(layers, settings)
    unrolled = sum(lut_estimates(source.program).values())
    if form == "json":
        out.print(json_text(source.name, found, measured(), unrolled, proposed=proposes), end="", markup=False)
    else:
        _show(source.name, found, unrolled, proposed=proposes)
    return found.fits and not found.stops


def _target(target: Target, wanted: Mapping[str, object]) -> Target:
    try:
        return Target.model_validate({**target.model_dump(), **wanted})
    except ValidationError as error:
        option, colon, rest = explain(error, Target).partition(":")
        raise ValueError(f"estimate: --{option.replace('_', '-')}{colon}{rest}") from error


def _show(name: str, found: NetworkEstimate, unrolled: float, *, proposed: bool) -> None:
    out.print(_table(name, found))
    target = found.settings.target
    if proposed:
        out.print(
            f"proposal: --set hls.strategy={target.strategy} --set hls.reuse_factor={target.reuse_factor} "
            f"(of `convert`: --strategy {target.strategy} --reuse-factor {target.reuse_factor})",
            markup=False,
        )
    out.print(
        f"{found.settings.part.device}, {target.clock_period_ns:g} ns, {found.pipeline}: "
        f"latency {found.latency_ns:,.0f} ns, {found.rate_mhz:.4g} million inferences a second; "
        + ", ".join(f"{share:.1%} of its {TITLES[kind]}" for kind, share in found.shares.items()),
        markup=False,
    )
    for finding in found.findings:
        out.print(finding.text, markup=False)
    if not found.fits:
        kind = max(found.shares, key=lambda each: found.shares[each])
        most, needed = getattr(found.settings.part.cells, kind), getattr(found.cells, kind)
        remedy = "--fit proposes what fits"
        out.print(
            f"{found.settings.part.device}: {TITLES[kind]} must be at most {most:,.0f}, not {needed:,.0f}; {remedy}",
            markup=False,
        )
    out.print(f"as unrolled logic (`bitwright rtl`): {unrolled:,.0f} LUT", markup=False)
    for line in error_lines(measured()):
        out.print(line, markup=False)


def _table(name: str, found: NetworkEstimate) -> Table:
    table = Table(title=f"{name}: estimate of C synthesis, nothing was built", title_justify="left")
    table.add_column("layer", overflow="fold")
    for column in ("how", "multiplications", "bits", "additions", "memory bits", *TITLES.values()):
        table.add_column(column, justify="right")
    for layer in found.layers:
        table.add_row(*_row(layer))
    cells = found.cells
    table.add_section()
    table.add_row(
        "all",
        "",
        f"{sum(layer.multiplications for layer in found.layers):,}",
        "",
        f"{sum(layer.additions for layer in found.layers):,}",
        f"{sum(layer.weight_memory_bits + layer.buffer_memory_bits for layer in found.layers):,}",
        *(f"{value:,.0f}" for value in (cells.lut, cells.ff, cells.dsp, cells.bram_18k)),
        f"{found.latency_cycles:,}",
        f"{found.initiation_interval_cycles:,}",
    )
    return table


def _row(layer: LayerCost) -> tuple[str, ...]:
    cells = layer.cells
    return (
        layer.name,
        f"{layer.kind}, {layer.strategy} {layer.reuse_factor}" if layer.strategy else layer.kind,
        f"{layer.multiplications:,}" if layer.multiplications else "",
        f"{layer.data_bits} x {layer.weight_bits}" if layer.weight_bits else f"{layer.data_bits}",
        f"{layer.additions:,}" if layer.additions else "",
        f"{layer.weight_memory_bits + layer.buffer_memory_bits:,}",
        *(f"{value:,.0f}" for value in (cells.lut, cells.ff, cells.dsp, cells.bram_18k)),
        f"{layer.latency_cycles:,}",
        f"{layer.initiation_interval_cycles:,}",
    )


def error_lines(errors: MeasuredErrors) -> Iterator[str]:
    """Yield how far estimates were off, and what was never compared."""
    projects = len({one.design for one in errors.hls})
    for one in spreads(errors.hls):
        yield (
            f"error, {TITLES[one.figure]}: {one.lowest:.2f} to {one.highest:.2f} times what C synthesis reported "
            f"({one.count} comparisons, layers and designs of {projects} projects)"
        )
    yield (
        "error: all of 16 bits, strategy Latency, reuse factor 1, in streams; delays, registers and control were "
        "chosen on the same reports. Resource, other widths and 1-bit layers were never compared with a report"
    )
    for each in errors.unrolled:
        yield f"error, unrolled logic: {each.ratio:.2f} times the LUT of {each.tool} ({each.design})"
