"""The wires of a design: integers side by side, written as hexadecimal numbers for its testbench."""

import numpy as np
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from bitwright.export.operations import Integers


@dataclass(frozen=True)
class Port:
    """Integers of one width, the first in the lowest bits.

    Args:
        values: How many.
        width: Bits of each.
        signed: Whether they are two's complement.
        bipolar: Whether they are bits that mean -1 and +1.
        step: What a wire's lowest bit is worth: above 1, the lower bits are zero in every integer and have no wire.
    """

    values: PositiveInt
    width: PositiveInt
    signed: bool
    bipolar: bool
    step: PositiveInt = 1

    @property
    def bits(self) -> int:
        """Wires of the port."""
        return self.values * self.width

    def lines(self, codes: Integers) -> list[str]:
        """Return a hexadecimal number for each row of integers ``(N, values)``.

        >>> Port(values=2, width=4, signed=True, bipolar=False).lines(np.array([[3, -1]]))
        ['f3']
        """
        wires = (codes + 1) >> 1 if self.bipolar else codes // self.step
        bits = (wires.astype(np.int64)[:, :, None] >> np.arange(self.width)) & 1
        packed = np.packbits(bits.reshape(len(codes), -1).astype(np.uint8), axis=1, bitorder="little")
        return [row.tobytes().hex() for row in packed[:, ::-1]]

    def codes(self, lines: list[str]) -> Integers:
        """Return the integers ``(N, values)`` of hexadecimal numbers.

        Raises:
            ValueError: If a line is none.

        >>> Port(values=2, width=4, signed=True, bipolar=False).codes(["f3"])
        array([[ 3, -1]])
        """
        digits = -(-self.bits // 8) * 2
        packed = np.array([list(bytes.fromhex(line.zfill(digits))[::-1]) for line in lines], np.uint8)
        bits = np.unpackbits(packed.reshape(len(lines), digits // 2), axis=1, bitorder="little", count=self.bits)
        wires = bits.reshape(len(lines), self.values, self.width).astype(np.int64)
        codes: Integers = (wires << np.arange(self.width)).sum(axis=2)
        if self.bipolar:
            return 2 * codes - 1
        negative = codes >> (self.width - 1) if self.signed else 0
        return self.step * (codes - (negative << self.width))
