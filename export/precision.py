"""The types of every layer: what the program needs, what a person asks for in `precision.toml`, and if it is enough."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bitwright.export.operations import (
    Affine,
    DepthwiseConv2d,
    Integers,
    Linear,
    MultiplyAdd,
    Operation,
    Requantize,
    Table,
    Threshold,
)
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, parse_ap_fixed, smallest_format

XNOR = "xnor"
"""How the file spells `Bipolar`: one wire, 0 for -1 and 1 for +1."""

HEADER = """\
# Types of every layer of the hls4ml project, as Vitis HLS spells them; "xnor" is one bit, 0 for -1 and 1 for +1.
# `bitwright export` wrote the narrowest that are proven to hold every value; `interval` is what was proven, in steps.
# Edit a type and run `bitwright hls`: a wider one is honoured, one that cannot hold every value is refused.
"""


@dataclass(frozen=True)
class Need:
    """What one type must hold.

    Args:
        format: The narrowest type that does.
        lowest: Smallest code, in steps of that format.
        highest: Largest code.
        fixed: Whether the type is the layer's function (a quantiser rounds and saturates to it) and may not be changed.
    """

    format: Format
    lowest: int
    highest: int
    fixed: bool = False

    def check(self, where: str, wanted: Format) -> None:
        """Refuse a type that does not hold every value, or changes the layer's function.

        Raises:
            ValueError: Naming the type, the need and the remedy.
        """
        if wanted == self.format:
            return
        text = ap_text(wanted)
        if self.fixed or isinstance(self.format, Bipolar) or isinstance(wanted, Bipolar):
            raise ValueError(
                f"{where}: type must be {ap_text(self.format)}, which the network's quantiser rounds to, not {text}; "
                "change the recipe and train again"
            )
        same_modes = replace(wanted, rounding=self.format.rounding, overflow=self.format.overflow)
        if wanted not in (wanted.plain(), same_modes):
            raise ValueError(f"{where}: type must not round or saturate, not {text}; leave the modes out")
        finer = wanted.fractional - self.format.fractional
        enough = finer >= 0 and wanted.holds(self.lowest << max(finer, 0), self.highest << max(finer, 0))
        if not enough:
            raise ValueError(
                f"{where}: type must hold {self.lowest} to {self.highest} steps of 2**{-self.format.fractional}, "
                f"not {text}; at least {ap_text(self.format)} is needed"
            )


Needs = Mapping[str, Mapping[str, Need]]
Precision = Mapping[str, Mapping[str, Format]]
"""For every operation, its types by role: weight, bias, accumulator, result, multiplier, offset, threshold, table."""


def ap_text(form: Format) -> str:
    """Return a type as the file spells it.

    >>> ap_text(Bipolar()), ap_text(FixedPoint(6, 2))
    ('xnor', 'ap_fixed<6,2>')
    """
    return XNOR if isinstance(form, Bipolar) else form.ap_fixed


def is_xnor(operation: Operation, program: Program) -> bool:
    """Return whether a layer's weights and data are both one bit: then it counts matches."""
    return (
        isinstance(operation, Linear)
        and not isinstance(operation, DepthwiseConv2d)
        and isinstance(operation.weight_format, Bipolar)
        and isinstance(program.tensors[operation.source].format, Bipolar)
    )


def needs(program: Program) -> Needs:
    """Return the narrowest type of every role of every operation.

    >>> from bitwright.export.operations import Dense, Input
    >>> code = FixedPoint(4, 4)
    >>> program = Program((Input("x", "", (2,), code), Dense("fc", "x", np.array([[1, 2], [3, -1]]), code, None)))
    >>> {role: ap_text(need.format) for role, need in needs(program)["fc"].items()}
    {'weight': 'ap_fixed<4,4>', 'bias': 'ap_ufixed<1,1>', 'accumulator': 'ap_fixed<6,6>', 'result': 'ap_fixed<6,6>'}
    """
    return {operation.name: _operation_needs(operation, program) for operation in program.operations}


def _operation_needs(operation: Operation, program: Program) -> dict[str, Need]:
    tensor = program.tensors[operation.name]
    rounds = isinstance(operation, Requantize | MultiplyAdd | Table)
    result = Need(tensor.format, *tensor.interval.ends, fixed=rounds)
    match operation:
        case Linear():
            fractional = operation.accumulator_fractional(program.tensors[operation.source].format)
            bias = _codes_need(operation.bias, fractional) if operation.bias is not None else _zero()
            accumulator = result
            if is_xnor(operation, program):
                matches = int(np.prod(operation.weight.shape[:-1]))
                accumulator = Need(smallest_format(0, matches), 0, matches)
            weight = Need(operation.weight_format, int(operation.weight.min()), int(operation.weight.max()))
            return {"weight": weight, "bias": bias, "accumulator": accumulator, "result": result}
        case MultiplyAdd():
            source = program.tensors[operation.source].format
            fractional = operation.shift + operation.format.fractional
            multiplier = _codes_need(operation.multiplier, fractional - source.fractional)
            return {"multiplier": multiplier, "offset": _codes_need(operation.offset, fractional), "result": result}
        case Affine():
            source = program.tensors[operation.source].format
            multiplier = _codes_need(operation.multiplier, operation.fractional - source.fractional)
            return {
                "multiplier": multiplier,
                "offset": _codes_need(operation.offset, operation.fractional),
                "result": result,
            }
        case Table():
            ends = int(operation.entries.min()), int(operation.entries.max())
            return {"table": Need(tensor.format, *ends, fixed=True), "result": result}
        case Threshold():
            fractional = program.tensors[operation.source].format.fractional
            return {"threshold": _codes_need(operation.thresholds, fractional), "result": result}
        case _:
            return {"result": result}


def _codes_need(codes: Integers, fractional: int) -> Need:
    lowest, highest = int(codes.min()), int(codes.max())
    return Need(smallest_format(lowest, highest, fractional), lowest, highest)


def _zero() -> Need:
    return Need(FixedPoint(1, 1, signed=False), 0, 0)


def minimal(program: Program) -> Precision:
    """Return the narrowest precision that is proven exact."""
    return {name: {role: need.format for role, need in roles.items()} for name, roles in needs(program).items()}


def precision_text(program: Program) -> str:
    """Return `precision.toml` with the narrowest types."""
    lines = [HEADER]
    for operation in program.operations:
        lines.append(f"[{operation.name}] # {type(operation).__name__}")
        roles = needs(program)[operation.name]
        width = max(map(len, roles))
        lines += [f'{role:<{width}} = "{ap_text(need.format)}"' for role, need in roles.items()]
        lowest, highest = program.tensors[operation.name].interval.ends
        lines.append(f"{'interval':<{width}} = [{lowest}, {highest}]\n")
    return "\n".join(lines)


def read_precision(path: Path, program: Program) -> Precision:
    """Read `precision.toml` and prove it enough.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is not TOML, names another layer or role, or a type is too narrow.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: precision must be a TOML file, not missing; run `bitwright export` first")
    try:
        found = tomllib.loads(path.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: precision must be TOML: {error}") from error
    wanted = needs(program)
    for name in found:
        if name not in wanted:
            raise ValueError(
                f"{path}: layer must be one of {', '.join(wanted)}, not {name!r}; delete it and export again"
            )
    precision: dict[str, dict[str, Format]] = {}
    for name, roles in wanted.items():
        if not isinstance(found.get(name), dict):
            raise ValueError(f"{path}: {name} must be a section, not missing; delete it and export again")
        extra = set(found[name]) - set(roles) - {"interval"}
        if extra:
            raise ValueError(f"{path}: {name}: key must be one of {', '.join(roles)}, not {min(extra)!r}; remove it")
        precision[name] = {role: _read_type(path, name, role, found[name], need) for role, need in roles.items()}
    return precision


def _read_type(path: Path, name: str, role: str, section: Mapping[str, object], need: Need) -> Format:
    text = section.get(role)
    where = f"{path}: {name}.{role}"
    if not isinstance(text, str):
        raise ValueError(
            f"{where}: type must be text such as {ap_text(need.format)!r}, not {text!r}; delete it and export again"
        )
    if text == XNOR:
        form: Format = Bipolar()
    else:
        try:
            form = parse_ap_fixed(text)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    need.check(where, form)
    return form
