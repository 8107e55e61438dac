"""What every layer of hls4ml's list is made of: its attributes, and the type of every part."""

from dataclasses import dataclass
from typing import Any

from hls4ml.model.types import XnorPrecisionType

from bitwright.export.operations import Operation
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint

BIT = "ap_uint<1>"
UNUSED = BIT  # hls4ml wants a type where a layer has nothing to type


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer.

    Args:
        attributes: As hls4ml calls them, without name and inputs.
        types: Type of every part, by hls4ml's names.
    """

    attributes: dict[str, Any]
    types: dict[str, Any]


def hls_type(form: Format) -> Any:  # noqa: ANN401 - text, or hls4ml's object for what no text says
    """Return a format as hls4ml takes it."""
    return XnorPrecisionType() if isinstance(form, Bipolar) else form.ap_fixed


def wire_type(form: Format) -> str:
    """Return the type of a format's wires, which for one bit says nothing of +1 and -1."""
    return BIT if isinstance(form, Bipolar) else form.ap_fixed


def refuse_bits(operation: Operation, program: Program) -> None:
    """Refuse one-bit sources, where hls4ml's layer would calculate with the wire's 0 and 1.

    Raises:
        ValueError: Naming the operation and the remedy.
    """
    for name in operation.sources:
        if isinstance(program.tensors[name].format, Bipolar):
            kind = type(operation).__name__
            raise ValueError(
                f"{operation.name}: source of {kind} must be numbers, not the one-bit {name}, whose wire is 0 for -1; "
                "put a Threshold to two bits between"
            )


def finer_bits(wanted: Format, needed: Format) -> int:
    """Return how many more fraction bits a type has than it needs."""
    both = isinstance(wanted, FixedPoint) and isinstance(needed, FixedPoint)
    return wanted.fractional - needed.fractional if both else 0
