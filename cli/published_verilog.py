"""The arithmetic of hls4ml's Latency strategy in Verilog: a product for every weight that is not zero, and adder trees.

Every product is cut to the type of the accumulator, as in hls4ml's C++, whose integers this gives. It is a yardstick
that an open tool can synthesise, not what the vendor's tool makes of that C++.
"""

from collections.abc import Sequence
from pathlib import Path

from bitwright.hls.published_project import PublishedDense, PublishedProject
from bitwright.quant.fixed_point import FixedPoint
from bitwright.rtl.design import TOP, Design, testbench
from bitwright.rtl.port import Port


def write_latency_form(project: PublishedProject, folder: Path) -> Design:
    """Write a project's network as a design that can be simulated and synthesised.

    There are registers at the input and behind every layer, and no more: the count of LUT is that of the arithmetic.

    Args:
        project: What it computes; its output are the codes before the softmax.
        folder: For the sources.

    Raises:
        ValueError: If an accumulator or a result rounds or saturates.
    """
    text, design = _network(project)
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "network.v").write_text(text)
    ports = f"input [{design.input.bits - 1}:0] model_inp, output [{design.output.bits - 1}:0] model_out"
    (folder / "src" / f"{TOP}.v").write_text(
        f"module {TOP} (input clk, {ports});\n"
        "    network inner (.clk(clk), .model_inp(model_inp), .model_out(model_out));\nendmodule\n"
    )
    (folder / "testbench.v").write_text(testbench(design))
    return design


def _network(project: PublishedProject) -> tuple[str, Design]:
    inputs, outputs = len(project.layers[0].weight), len(project.layers[-1].bias)
    last = project.layers[-1].output
    design = Design(
        language="verilog",
        input=Port(values=inputs, width=project.input.width, signed=project.input.signed, bipolar=False),
        output=Port(values=outputs, width=last.width, signed=last.signed, bipolar=False),
        latency_cycles=1 + len(project.layers),
        initiation_interval=1,
        register_bits=inputs * project.input.width
        + sum(len(layer.bias) * layer.output.width for layer in project.layers),
        lut_estimate=0.0,
        latency_cutoff=1.0,
    )
    lines = [f"    reg [{design.input.bits - 1}:0] r0;", "    always @(posedge clk) r0 <= model_inp;"]
    form = project.input
    for number, layer in enumerate(project.layers):
        _refuse_rounding(layer)
        lines += _layer(number, layer, form)
        form = layer.output
    body = "\n".join(lines)
    text = (
        f"module network (input clk, input [{design.input.bits - 1}:0] model_inp, "
        f"output [{design.output.bits - 1}:0] model_out);\n{body}\n"
        f"    assign model_out = r{len(project.layers)};\nendmodule\n"
    )
    return text, design


def _refuse_rounding(layer: PublishedDense) -> None:
    for role, form in (("accumulator", layer.accumulator), ("result", layer.result)):
        if (form.rounding, form.overflow) != ("AP_TRN", "AP_WRAP"):
            raise ValueError(
                f"{layer.name}: {role} must cut off and wrap, not be {form.ap_fixed}; leave --products out"
            )


def _layer(number: int, layer: PublishedDense, form: FixedPoint) -> list[str]:
    """Return a layer: from the register of its inputs to that of its outputs."""
    width, wide = layer.accumulator.width, form.width + layer.weight_format.width + 2
    dropped = form.fractional + layer.weight_format.fractional - layer.accumulator.fractional
    lines = []
    for index in range(len(layer.weight)):
        bits = f"r{number}[{(index + 1) * form.width - 1}:{index * form.width}]"
        value = f"$signed({bits})" if form.signed else f"$signed({{1'b0, {bits}}})"
        lines.append(f"    wire signed [{wide - 1}:0] x{number}_{index} = {value};")
    biases = layer.accumulator.cast(layer.bias, layer.bias_format.fractional)
    output = layer.output.width
    lines.append(f"    reg [{len(biases) * output - 1}:0] r{number + 1};")
    for column, bias in enumerate(biases.tolist()):
        name = f"{number}_{column}"
        terms = []
        for index, weight in enumerate(layer.weight[:, column].tolist()):
            if weight:
                product = f"{shifts_of(f'x{number}_{index}', weight)} {'>>>' if dropped >= 0 else '<<<'} {abs(dropped)}"
                lines.append(f"    wire signed [{wide - 1}:0] w{name}_{index} = {product};")
                lines.append(f"    wire signed [{width - 1}:0] p{name}_{index} = w{name}_{index};")
                terms.append(f"p{name}_{index}")
        total = _tree([*terms, f"{width}'sd{bias}" if bias >= 0 else f"-{width}'sd{-bias}"])
        lines.append(f"    wire signed [{width - 1}:0] s{name} = {total};")
        lines += _cast(name, layer)
        place = f"r{number + 1}[{(column + 1) * output - 1}:{column * output}]"
        lines.append(f"    always @(posedge clk) {place} <= y{name};")
    return lines


def _cast(name: str, layer: PublishedDense) -> list[str]:
    """Return the result of a sum, and what a ReLU makes of it."""
    drop = layer.accumulator.fractional - layer.result.fractional
    shifted = f"s{name} {'>>>' if drop >= 0 else '<<<'} {abs(drop)}"
    width = layer.result.width
    wide = max(width, layer.accumulator.width - min(drop, 0))
    lines = [f"    wire signed [{wide - 1}:0] f{name} = {shifted};"]
    result = f"f{name}[{width - 1}:0]"
    form = layer.activation
    if form is None:
        return [*lines, f"    wire [{width - 1}:0] y{name} = {result};"]
    drop = layer.result.fractional - form.fractional
    size = width + 1 + max(0, -drop)
    lines.append(f"    wire [{size - 1}:0] t{name} = f{name}[{width - 1}] ? 0 : {result};")
    up = "1'b0"
    if drop > 0 and form.rounding != "AP_TRN":
        up = f"t{name}[{drop - 1}]"
        if form.rounding == "AP_RND_CONV":
            rest = f" | (|t{name}[{drop - 2}:0])" if drop > 1 else ""
            up = f"(t{name}[{drop - 1}] & (t{name}[{drop}]{rest}))"
    floor = f"(t{name} >> {drop})" if drop >= 0 else f"(t{name} << {-drop})"
    lines.append(f"    wire [{size - 1}:0] q{name} = {floor} + {up};")
    kept = f"q{name}[{form.width - 1}:0]" if size >= form.width else f"q{name}"
    if form.overflow != "AP_WRAP":
        kept = f"(q{name} > {form.highest}) ? {form.width}'d{form.highest} : {kept}"
    return [*lines, f"    wire [{form.width - 1}:0] y{name} = {kept};"]


def shifts_of(code: str, weight: int) -> str:
    """Return a code times a weight as shifts and the fewest additions, in canonical signed digits.

    >>> shifts_of("x", 7), shifts_of("x", -2)
    ('((x <<< 3) - (x <<< 0))', '(- (x <<< 1))')
    """
    terms: list[str] = []
    place, rest = 0, abs(weight)
    while rest:
        digit = 2 - (rest & 3) if rest & 1 else 0
        if digit:
            terms.insert(0, f"{'+' if (digit > 0) == (weight > 0) else '-'} ({code} <<< {place})")
        rest, place = (rest - digit) >> 1, place + 1
    return f"({' '.join(terms).removeprefix('+ ')})"


def _tree(terms: Sequence[str]) -> str:
    """Return the sum of terms, as a tree of the least depth."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_tree(terms[:half])} + {_tree(terms[half:])})"
