"""What an estimate is for."""

from dataclasses import dataclass
from typing import Literal

from bitwright.estimates.parts import Part, part_of
from bitwright.hls.target import Target

UNCERTAINTY = {"Vitis": 0.27, "Vivado": 0.125}
"""Share of the clock period that hls4ml 1.3.0 keeps free: `vitis_backend.py`, `vivado_backend.py`."""


@dataclass(frozen=True)
class Settings:
    """The target of a project, and what is known about its device.

    Args:
        target: Back end, device, strategy, reuse factor.
        part: The device.
    """

    target: Target
    part: Part

    @property
    def stream(self) -> bool:
        """Whether layers hand over one position after the other."""
        return self.target.io_type == "io_stream"

    @property
    def usable_ns(self) -> float:
        """Time for logic in one clock period.

        >>> round(Settings(Target(), part_of("xcu250")).usable_ns, 2)
        3.65
        """
        return self.target.clock_period_ns * (1 - UNCERTAINTY[self.target.backend])

    def strategy_of(self, kind: str) -> Literal["Latency", "Resource"]:
        """Return the strategy of a layer: Bitwright builds depthwise convolutions with Latency alone."""
        return "Latency" if kind == "depthwise" else self.target.strategy


def settings_of(target: Target) -> Settings:
    """Return the settings of a target.

    Raises:
        ValueError: If its device is not known.
    """
    return Settings(target, part_of(target.part))
