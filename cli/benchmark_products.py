"""Measure what sharing sums gains: `python -m bitwright.cli.benchmark_products runs/x --layer fc0 --family xcup`.

Dense layers of an exported run, each alone, twice: as `bitwright rtl` has it, with sums shared, and with a product for
every weight that is not zero and an adder tree for every output, the arithmetic of hls4ml's Latency strategy written in
Verilog, each product as shifts and additions. Both go through the same Yosys, and both are compared with the program in
Verilator on random codes.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line, one_of
from bitwright.cli.benchmark_fold import alone
from bitwright.cli.console import note, out
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_program
from bitwright.cli.versions import installed
from bitwright.export.operations import Dense, Integers
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.rtl.design import TOP, Design, sources, testbench, write_design
from bitwright.rtl.port import Port
from bitwright.rtl.simulation import build_simulation, run_simulation
from bitwright.synth.yosys import Family, synthesize

REGISTERS = 2
"""At the inputs and at the outputs of the layer of products."""


def layer_of_products(program: Program, layer: Dense) -> tuple[str, Design]:
    """Return a dense layer in Verilog, product by product, and what is known of it.

    Args:
        program: The layer alone.
        layer: Of it.

    Raises:
        ValueError: If its weights are neither fixed point nor all of one bit.
    """
    given, found = program.input.format, program.output.format
    bits = isinstance(given, Bipolar)
    if bits != isinstance(layer.weight_format, Bipolar):
        raise ValueError(
            f"benchmark_products: {layer.name} must have inputs and weights of one bit, or neither, not one of them"
        )
    inputs, outputs = layer.weight.shape
    signed = bits or given.lowest < 0
    design = Design(
        language="verilog",
        input=Port(values=inputs, width=given.width, signed=signed and not bits, bipolar=bits),
        output=Port(values=outputs, width=found.width, signed=found.lowest < 0, bipolar=False),
        latency_cycles=REGISTERS,
        initiation_interval=1,
        register_bits=inputs * given.width + outputs * found.width,
        lut_estimate=0.0,
        latency_cutoff=1.0,
    )
    width = found.width + 2
    lines = [_code(number, given.width, bits=bits, signed=signed) for number in range(inputs)]
    for output in range(outputs):
        column = layer.weight[:, output].tolist()
        bias = 0 if layer.bias is None else int(layer.bias[output])
        if bits:
            terms = [f"{{1'b0, {'' if weight > 0 else '~'}x{number}}}" for number, weight in enumerate(column)]
            total = f"({_tree(terms, width)} <<< 1) - {inputs - bias}"
        else:
            terms = [_product(f"x{number}", weight) for number, weight in enumerate(column) if weight]
            total = f"{_tree(terms, width)} + {_constant(bias)}"
        lines.append(f"    wire signed [{width - 1}:0] y{output} = {total};")
        low = output * found.width
        wires = f"model_out[{low + found.width - 1}:{low}] <= y{output}[{found.width - 1}:0]"
        lines.append(f"    always @(posedge clk) {wires};")
    body = "\n".join(lines)
    text = (
        f"module network (input clk, input [{design.input.bits - 1}:0] model_inp, "
        f"output reg [{design.output.bits - 1}:0] model_out);\n"
        f"    reg [{design.input.bits - 1}:0] x;\n    always @(posedge clk) x <= model_inp;\n{body}\nendmodule\n"
    )
    return text, design


def _code(number: int, width: int, *, bits: bool, signed: bool) -> str:
    """Return the wire of one input."""
    low = number * width
    if bits:
        return f"    wire x{number} = x[{low}];"
    code = f"x[{low + width - 1}:{low}]"
    value = f"$signed({code})" if signed else f"$signed({{1'b0, {code}}})"
    return f"    wire signed [{width}:0] x{number} = {value};"


def _product(code: str, weight: int) -> str:
    """Return a code times a weight as shifts, in the canonical signed digits of the weight: the fewest additions.

    Source: Reitwiesner, Binary arithmetic, 1960.

    >>> _product("x", 7), _product("x", -2)
    ('((x <<< 3) - (x <<< 0))', '(- (x <<< 1))')
    """
    terms: list[str] = []
    place, rest = 0, abs(weight)
    while rest:
        digit = 2 - (rest & 3) if rest & 1 else 0
        if digit:
            sign = "+" if (digit > 0) == (weight > 0) else "-"
            terms.insert(0, f"{sign} ({code} <<< {place})")
        rest, place = (rest - digit) >> 1, place + 1
    return f"({' '.join(terms).removeprefix('+ ')})"


def _constant(value: int) -> str:
    """Return a signed constant of as many bits as it needs."""
    width = value.bit_length() + 1 if value >= 0 else (-value - 1).bit_length() + 1
    return f"{width}'sb{value & ((1 << width) - 1):b}"


def _tree(terms: Sequence[str], width: int) -> str:
    """Return the sum of terms, as a tree of the least depth.

    >>> _tree(["a", "b", "c"], 4)
    '(a + (b + c))'
    """
    if not terms:
        return f"{width}'sb0"
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_tree(terms[:half], width)} + {_tree(terms[half:], width)})"


def write_products(program: Program, layer: Dense, folder: Path) -> Design:
    """Write the layer as a design that can be simulated and synthesised."""
    text, design = layer_of_products(program, layer)
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "network.v").write_text(text)
    ports = f"input [{design.input.bits - 1}:0] model_inp, output [{design.output.bits - 1}:0] model_out"
    (folder / "src" / f"{TOP}.v").write_text(
        f"module {TOP} (input clk, {ports});\n"
        "    network inner (.clk(clk), .model_inp(model_inp), .model_out(model_out));\nendmodule\n"
    )
    (folder / "testbench.v").write_text(testbench(design))
    return design


def measure(program: Program, layer: Dense, codes: Integers, family: Family, name: str) -> tuple[list[str], bool]:
    """Return a row of the table, and whether every integer is the program's."""
    cells, different = [], 0
    with tempfile.TemporaryDirectory(prefix="bitwright-products-") as scratch:
        for form in ("products", "shared"):
            place = Path(scratch) / form
            if form == "products":
                design = write_products(program, layer, place / "rtl")
            else:
                design = write_design(program, place / "rtl")
            built = build_simulation(design, place / "rtl", place / "cache")
            found = run_simulation(built, design, codes, place / "parts")
            different += int((found != program(codes)).sum())
            figures, _ = synthesize(sources(place / "rtl", "verilog"), TOP, family, place / family)
            cells.append((figures.cells.lut, figures.cells.dsp))
    (products, dsp), (shared, _) = cells
    row = [
        name,
        f"{products:,}",
        str(dsp),
        f"{shared:,}",
        f"{products / shared:.1f}",
        f"{different} of {2 * found.size:,}",
    ]
    note(", ".join(row))
    return row, not different


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure one layer after the other, and print the table."""
    parser = Parser(__file__, __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of an exported run")
    parser.add_argument("--layer", action="append", required=True, help="a dense layer; repeat it")
    parser.add_argument("--family", type=one_of(Family), default=Family.XCUP, help="xc7 or xcup")
    options = parser.read(arguments)
    out.print(", ".join(f"{part} {version}" for part, version in installed().items()), markup=False)
    table = Table("layer", "LUT, products", "DSP", "LUT, shared", "ratio", "different")
    good, whole = True, load_program(RunFolder(options.run))
    for name in options.layer:
        program, codes = alone(whole, name)
        layer = program.operations[-1]
        if not isinstance(layer, Dense):
            raise ValueError(f"benchmark_products: layer must be a dense one, not {name}; choose another")
        row, exact = measure(program, layer, codes, options.family, f"{options.run.name} {name}")
        table.add_row(*row)
        good &= exact
    out.print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
