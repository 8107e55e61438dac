"""A published hls4ml project beside Bitwright's RTL of the same network: `make bench-published BENCH="PROJECT_FOLDER"`.

Weights, biases and types are read out of the project's own C++ sources, and its resources out of the vendor's reports
that lie in it. A QONNX file of the same network is lowered, its RTL written, simulated on the rows of a data set and
synthesised with Yosys; the project's C++ is compiled and run on the same rows. The softmax is left out of both.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.table import Table

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line, one_of, positive
from bitwright.cli.console import note, out
from bitwright.cli.published_verilog import write_latency_form
from bitwright.cli.versions import installed
from bitwright.export.interface import describe, input_codes, output_values
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Integers
from bitwright.export.program import Program
from bitwright.export.qonnx_file import load
from bitwright.hls.published_csim import run_published
from bitwright.hls.published_project import PublishedProject, read_published
from bitwright.hls.tool_error import ToolError
from bitwright.models.dataset import load_test
from bitwright.quant.fixed_point import FixedPoint, parse_ap_fixed
from bitwright.reports.folder import read_project
from bitwright.reports.report import Resources, StageReport
from bitwright.rtl.design import TOP, sources, write_design
from bitwright.rtl.simulation import build_simulation, run_simulation
from bitwright.synth.yosys import Family, synthesize

QONNX = "qonnx.custom_op.general"
ROUNDINGS = {"AP_TRN": "FLOOR", "AP_RND_CONV": "ROUND", "AP_RND": "HALF_UP"}
"""HALF_UP is symmetric, as AP_RND is not: the same for what comes out of a ReLU, and refused elsewhere."""

FINE = 40
"""Fractional bits of inputs before they are cast to the project's type; they may be as large as 2**22."""

HEADINGS = ("of", "stage", "tool", "part", "LUT", "FF", "DSP", "BRAM, 18 kbit", "latency, cycles", "interval, cycles")


class Row(NamedTuple):
    """What one tool says of one design, at one stage."""

    design: str
    stage: str
    tool: str
    part: str
    used: Resources
    latency_cycles: int | None
    interval_cycles: int | None

    def cells(self) -> list[str]:
        """Return it for the table."""
        used = self.used
        numbers = (used.lut, used.ff, used.dsp, used.bram_18k, self.latency_cycles, self.interval_cycles)
        return [
            self.design,
            self.stage,
            self.tool,
            self.part,
            *("-" if number is None else f"{number:,}" for number in numbers),
        ]


def lowered_project(project: PublishedProject, where: str) -> LoweredNetwork:
    """Return a project's network, lowered from a QONNX file of the same numbers and types, without the softmax.

    Args:
        project: As its sources have it.
        where: What to call it in an error.

    Raises:
        ValueError: If its input rounds halves up, or is not signed or unsigned fixed point that QONNX can say.
    """
    if project.input.rounding == "AP_RND":
        raise ValueError(
            f"{where}: input must round by AP_TRN or AP_RND_CONV, not AP_RND, which QONNX cannot say; choose another"
        )
    nodes, constants = [], {}

    def quantised(source: str, name: str, form: FixedPoint) -> str:
        """Add a quantiser of a format."""
        parameters = {"scale": form.step, "zero": 0.0, "bits": float(form.width)}
        for key, value in parameters.items():
            constants[f"{name}_{key}"] = np.array(value, np.float32)
        nodes.append(
            helper.make_node(
                "Quant",
                [source, *(f"{name}_{key}" for key in parameters)],
                [f"{name}_out"],
                name,
                domain=QONNX,
                signed=int(form.signed),
                narrow=int(form.overflow == "AP_SAT_SYM"),
                rounding_mode=ROUNDINGS[form.rounding],
            )
        )
        return f"{name}_out"

    at = quantised("x", "input", project.input)
    for layer in project.layers:
        factors = []
        for name, codes, form in (
            (layer.name, layer.weight, layer.weight_format),
            (f"{layer.name}_bias", layer.bias, layer.bias_format),
        ):
            constants[name] = (codes * form.step).astype(np.float32)
            factors.append(quantised(name, f"{name}_quant", form.plain()))
        nodes.append(helper.make_node("Gemm", [at, *factors], [f"{layer.name}_sum"], f"{layer.name}_dense"))
        at = f"{layer.name}_sum"
        if layer.activation is not None:
            nodes.append(helper.make_node("Relu", [at], [f"{layer.name}_relu"], f"{layer.name}_positive"))
            at = f"{layer.name}_relu"
        if layer is not project.layers[-1]:
            at = quantised(at, f"{layer.name}_result", layer.output)
    shapes = len(project.layers[0].weight), len(project.layers[-1].bias)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in zip(("x", at), shapes, strict=True)
    ]
    initialisers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "published", ports[:1], ports[1:], initialisers)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(QONNX, 2)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    with tempfile.TemporaryDirectory(prefix="bitwright-published-") as scratch:
        path = Path(scratch) / "published.onnx"
        path.write_bytes(model.SerializeToString())
        return lower(load(path), where)


def published_rows(folder: Path) -> Iterator[Row]:
    """Yield what the reports in a project say, and the same without the softmax where they count it alone."""
    for report in read_project(folder):
        for stage in report.stages:
            yield from stage_rows(stage)


def stage_rows(stage: StageReport) -> Iterator[Row]:
    """Yield a stage's cells, and those without the softmax where it is counted alone; nothing where there are none."""
    if stage.used is None:
        return
    performance = stage.performance
    latency = performance.latency_max_cycles if performance else None
    interval = performance.initiation_interval_max_cycles if performance else None
    row = Row("hls4ml", stage.stage.label, str(stage.tool), stage.part or "-", stage.used, latency, interval)
    yield row
    softmax = [layer for layer in stage.layers if "softmax" in layer.module and layer.used is not None]
    if len(softmax) == 1:
        less = softmax[0].performance.latency_max_cycles if softmax[0].performance else None
        names = ("lut", "ff", "dsp", "bram_18k", "uram")
        counts = {name: (getattr(stage.used, name), getattr(softmax[0].used, name)) for name in names}
        yield row._replace(
            design="hls4ml, without its softmax",
            used=Resources(**{name: less_than(whole, part) for name, (whole, part) in counts.items()}),
            latency_cycles=less_than(latency, less),
        )


def less_than(whole: int | None, part: int | None) -> int | None:
    """Return what is left of a figure without a part of it, where both are stated.

    >>> less_than(5, 2), less_than(5, None)
    (3, None)
    """
    return None if whole is None or part is None else whole - part


def our_rows(
    program: Program, codes: Integers, latency_cutoff: float, family: Family, place: Path
) -> tuple[list[Row], int, int]:
    """Return the RTL's rows, and how many of how many integers are not the program's in Verilator."""
    design = write_design(program, place / "rtl", latency_cutoff=latency_cutoff)
    note(f"latency cutoff {latency_cutoff:g}: written; simulating {len(codes):,} rows")
    built = build_simulation(design, place / "rtl", place / "cache")
    found = run_simulation(built, design, codes.reshape(len(codes), -1), place / "parts")
    note(f"latency cutoff {latency_cutoff:g}: simulated; Yosys next")
    figures, _ = synthesize(sources(place / "rtl", "verilog"), TOP, family, place / family)
    cells, name = figures.cells, f"Bitwright, latency cutoff {latency_cutoff:g}"
    cycles = design.latency_cycles, design.initiation_interval
    rows = [
        Row(
            name,
            figures.stage,
            figures.tool,
            family,
            Resources(cells.lut, cells.ff, cells.dsp, cells.bram_18k),
            *cycles,
        ),
        Row(name, "estimate", "alkaid", "-", Resources(round(design.lut_estimate), design.register_bits), *cycles),
    ]
    return rows, int((found != program(codes)).sum()), found.size


def latency_form_row(
    project: PublishedProject, codes: Integers, theirs: Integers, family: Family, place: Path
) -> tuple[Row, int, int]:
    """Return the row of hls4ml's arithmetic in Verilog, and how many of how many integers are not its C++'s."""
    design = write_latency_form(project, place / "rtl")
    built = build_simulation(design, place / "rtl", place / "cache")
    found = run_simulation(built, design, codes, place / "parts")
    note("product by product: simulated; Yosys next")
    figures, _ = synthesize(sources(place / "rtl", "verilog"), TOP, family, place / family)
    cells = figures.cells
    row = Row(
        "hls4ml's arithmetic in Verilog",
        figures.stage,
        figures.tool,
        family,
        Resources(cells.lut, cells.ff, cells.dsp, cells.bram_18k),
        design.latency_cycles,
        design.initiation_interval,
    )
    return row, int((found != theirs).sum()), found.size


def compare(
    project: PublishedProject, network: LoweredNetwork, theirs: Integers, inputs: NDArray[np.float32], labels: Integers
) -> None:
    """Print accuracies of both on the same rows, and how many integers before the softmax differ, and why."""
    form = project.layers[-1].output
    codes = input_codes(network, inputs)
    values = output_values(describe(network).output, network.program(codes))
    cut = np.floor(values / form.step).astype(np.int64)
    accuracies = [f"{100 * float((scores.argmax(1) == labels).mean()):.2f} %" for scores in (theirs, values)]
    out.print(f"accuracy on {len(labels):,} rows: hls4ml's C++ {accuracies[0]}, the program {accuracies[1]}")
    differs, step = int((cut != theirs).sum()), form.fractional
    classes = int((theirs.argmax(1) != values.argmax(1)).sum())
    steps = int(np.abs(cut - theirs).max())
    out.print(
        f"before the softmax, in steps of 2**-{step}: {differs:,} of {cut.size:,} integers differ, by {steps:,} at "
        f"most; the class differs in {classes:,} rows"
    )
    unexplained = int((project(codes_of(project, inputs)) != theirs).sum())
    out.print(
        "with every product cut to the accumulator's type, as hls4ml does, "
        f"{unexplained:,} of {cut.size:,} integers differ"
    )


def codes_of(project: PublishedProject, inputs: NDArray[np.float32]) -> Integers:
    """Return inputs as the project's C++ takes them."""
    fine = np.floor(inputs.astype(np.float64) * 2.0**FINE).astype(np.int64)
    return project.input.cast(fine, FINE)


def benchmark(options: argparse.Namespace) -> bool:
    """Compare one project; return whether every integer of the RTL is the program's.

    Raises:
        ValueError: If the project cannot be read, or an input lies outside its type.
    """
    folder: Path = options.project
    project = read_published(folder)
    own = project if options.input_type is None else replace(project, input=parse_ap_fixed(options.input_type))
    network = lowered_project(own, str(folder))
    if options.input_type is not None:
        out.print(f"the program's input has the type {own.input.ap_fixed}, not {project.input.ap_fixed}", markup=False)
    test = load_test(options.inputs, options.data_dir, download=False)
    inputs = test.inputs.reshape(len(test.inputs), -1).astype(np.float32)
    form = project.input
    if not (form.lowest * form.step <= inputs.min() and inputs.max() <= form.highest * form.step):
        raise ValueError(
            f"{folder}: inputs must lie within {form.ap_fixed}, where hls4ml wraps and Bitwright saturates, not from "
            f"{inputs.min():.3g} to {inputs.max():.3g}; choose another data set"
        )
    shape = "-".join(str(size) for size in (len(project.layers[0].weight), *(len(one.bias) for one in project.layers)))
    weights = sum(layer.weight.size for layer in project.layers)
    zeros = sum(int((layer.weight == 0).sum()) for layer in project.layers)
    settings = {(layer.strategy, layer.reuse_factor, layer.weight_format.ap_fixed) for layer in project.layers}
    out.print(
        f"{folder}: {shape}, {zeros:,} of {weights:,} weights are zero; "
        + "; ".join(f"strategy {name}, reuse factor {reuse}, weights {text}" for name, reuse, text in sorted(settings)),
        markup=False,
    )
    codes, wrong, count, unlike, size = input_codes(network, inputs), 0, 0, 0, 0
    rows = list(published_rows(folder))
    with tempfile.TemporaryDirectory(prefix="bitwright-published-") as scratch:
        place = Path(scratch)
        try:
            values = run_published(folder, project, inputs.astype(np.float64), place / "csim")
            theirs = np.rint(values / project.layers[-1].output.step).astype(np.int64)
            compare(project, network, theirs, inputs, test.labels)
        except ToolError as error:
            out.print(f"their C++ was not run: {error}", markup=False)
        for cutoff in options.latency_cutoff or [5.0]:
            found, different, size = our_rows(network.program, codes, cutoff, options.family, place / f"{cutoff:g}")
            rows, wrong, count = rows + found, wrong + different, count + size
        if options.products:
            given = codes_of(project, inputs)
            row, unlike, size = latency_form_row(project, given, project(given), options.family, place / "products")
            rows.append(row)
    table = Table(*HEADINGS)
    for one in rows:
        table.add_row(*one.cells())
    out.print(table)
    out.print(f"RTL in Verilator against the program: {wrong:,} of {count:,} integers differ")
    if options.products:
        out.print(f"hls4ml's arithmetic in Verilog against hls4ml's: {unlike:,} of {size:,} integers differ")
    return not wrong and not unlike


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Compare one project, and print the table."""
    parser = Parser(__file__, __doc__)
    parser.add_argument(
        "project", type=Path, metavar="PROJECT", help="folder of an hls4ml project of dense layers, with its reports"
    )
    parser.add_argument("--inputs", type=one_of(["jets"]), default="jets", help="data set whose test rows are run")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets, if not the usual one")
    parser.add_argument(
        "--input-type",
        metavar="AP_FIXED",
        help="of Bitwright's input, where it is to be another than theirs, as 'ap_fixed<8,3,AP_RND_CONV,AP_SAT>'",
    )
    parser.add_argument("--latency-cutoff", type=positive, action="append", help="of the RTL; repeat it (default: 5)")
    parser.add_argument("--family", type=one_of(Family), default=Family.XCUP, help="xc7 or xcup")
    parser.add_argument(
        "--products", action="store_true", help="also Yosys on hls4ml's arithmetic in Verilog, product by product"
    )
    options = parser.read(arguments)
    out.print(", ".join(f"{part} {version}" for part, version in installed().items()), markup=False)
    return 0 if benchmark(options) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
