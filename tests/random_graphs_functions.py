"""Random functions of one value: by constants of either sign, bent, unsteady, and batch normalisations."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from random_graphs_drawing import Drawing

BENT = ("Clip", "Erf", "HardSigmoid", "LeakyRelu", "PRelu", "Sigmoid", "Softsign", "Tanh", "ThresholdedRelu")
"""Functions that onnxruntime computes; up to the last bit they rise."""

UNSTEADY = ("Abs", "Ceil", "Floor", "Neg", "Round", "Sign", "Elu", "HardSwish", "Mish", "Softplus")
"""Functions that fall, rise and fall, or are rounded by position."""


class Functions(Drawing):
    """Draws functions of one value."""

    def _elementwise(self, *, final: bool = False) -> None:
        """Add operations by constants of either sign and zero; of a final one, the slope must not be 0."""
        lines = ["Mul", "Div", "Add", "Sub", "RSub", "Norm"]
        kinds = lines if final else ["Relu", *lines, *BENT, *UNSTEADY, "Quantised", "Twice"]
        for kind in self._draw(st.lists(st.sampled_from(kinds), max_size=2)):
            self._function(kind, final=final)

    def _function(self, kind: str, *, final: bool) -> None:
        channels, spread = self._at.channels, self._at.spread
        per_channel = self._coin() if kind in ("Mul", "Div", "Add", "Sub", "RSub", "PRelu") else False
        values = self._normal(1.5 if kind in ("Mul", "Div") else spread, channels if per_channel else 1)
        if kind == "Mul" and not final and self._seldom():
            values[0] = 0.0
        if kind in ("Mul", "Div"):
            values = np.where(np.abs(values) < 0.25, values + np.float32(0.5), values) * (values != 0)
            values[values == 0] = 0.0 if kind == "Mul" and not final else 1.0
        constant = self._of_channels(values) if per_channel else values
        match kind:
            case "Norm":
                if self._at.channel_axis == 0:
                    self._norm(final=final)
            case "PRelu":
                self._add(f"PRelu ({self._at.name}, {self._constant(np.abs(constant))})", settled=False)
            case "Clip":
                ends = self._constant(-spread), self._constant(1.2 * spread)
                self._add(f"Clip ({self._at.name}, {ends[0]}, {ends[1]})", settled=False)
            case "Quantised":
                if len(self._at.shape) == 1:
                    weight = self._weight(channels, channel_axis=0, size=spread)
                    self._add(f"Add ({self._at.name}, {weight})", settled=False)
            case "Twice":
                before = self._at.name
                self._add(f"{self._one_of(['Sigmoid', 'Relu', 'Abs'])} ({before})", settled=False)
                self._add(f"{self._one_of(['Mul', 'Add', 'Sub'])} ({before}, {self._at.name})", settled=False)
            case "RSub":
                self._add(f"Sub ({self._constant(constant)}, {self._at.name})", settled=False)
            case "Mul" | "Div" | "Add" | "Sub":
                sides = [self._at.name, self._constant(constant)]
                sides = sides if kind in ("Div", "Sub") or self._coin() else sides[::-1]
                self._add(f"{kind} ({', '.join(sides)})", settled=False)
            case _:
                self._add(f"{kind} ({self._at.name})", settled=False)
        small = {"Sigmoid": 0.3, "HardSigmoid": 0.3, "Tanh": 0.7, "Erf": 0.7, "Softsign": 0.7, "Sign": 1.0, "Norm": 1.0}
        self._at = replace(self._at, spread=small.get(kind, self._at.spread), grid=None)

    def _norm(self, *, final: bool) -> None:
        """Add a batch normalisation with gammas of either sign and zero, and one tiny variance."""
        channels, spread = self._at.shape[0], self._at.spread
        gamma, beta, mean = self._normal(1.0, channels), self._normal(1.0, channels), self._normal(spread, channels)
        variance = (self._rng.uniform(0.1, 4, channels) * spread**2).astype(np.float32)
        if self._seldom():
            variance[-1] = 1e-12
        if not final and self._seldom():
            gamma[0] = 0.0
        constants = ", ".join(self._constant(values) for values in (gamma, beta, mean, variance))
        self._add(f"BatchNormalization ({self._at.name}, {constants})", settled=False)
