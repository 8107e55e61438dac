"""Scores recipes: the network of each, calibrated, on the validation split. Imports torch."""

from collections.abc import Callable

import numpy as np
from torch import nn

from bitwright.calibration.candidate import Candidate, CandidateFile, key_of
from bitwright.calibration.costs import costs
from bitwright.calibration.evaluate import scores
from bitwright.calibration.post_training import Observed, quantize
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.dataset import Split
from bitwright.quant.recipe import Recipe

FEW = 500
"""Inputs of a first look."""

LutOf = Callable[[nn.Module, Recipe], float]


class Scorer:
    """Scores each recipe once, whichever process asked for it first.

    Args:
        observed: The float network, ready to be quantised.
        validation: The split that accuracy is counted on.
        input_scale: Factor on its values.
        file: Where candidates are kept.
        lut_of: Gives the LUT estimate of a network; none to leave it out.
    """

    def __init__(
        self,
        observed: Observed,
        validation: Split,
        input_scale: float,
        file: CandidateFile,
        lut_of: LutOf | None = None,
    ) -> None:
        self.observed = observed
        self.file = file
        self.scored = 0
        """Candidates that this process computed."""
        self._validation = validation
        self._input_scale = input_scale
        self._lut_of = lut_of

        self._last: tuple[str, nn.Module, NetworkDescription] | None = None

    def score(self, recipe: Recipe) -> Candidate:
        """Return what a recipe reaches and costs.

        Raises:
            ValueError: If the network cannot be calibrated with it.
            OSError: If the candidate cannot be kept.
        """
        known = self.file.get(recipe)
        if known is not None and (known.lut is not None or self._lut_of is None):
            return known
        candidate = self._scored(recipe, self._validation)
        self.file.add(candidate)
        self.scored += 1
        return candidate

    def quick(self, recipe: Recipe) -> Candidate:
        """Return the same on the first few inputs of the split only; it is not kept.

        The network is: the score after it costs no more than it would have.
        """
        known = self.file.get(recipe)
        return known or self._scored(recipe, self._validation.take(np.arange(min(FEW, len(self._validation)))))

    def _scored(self, recipe: Recipe, split: Split) -> Candidate:
        network, description = self._quantized(recipe)
        found = costs(network, self.observed.inputs[:1])
        return Candidate(
            recipe=recipe.without_reasons(),
            accuracy=accuracy(scores(network, split, self._input_scale), split.labels),
            weight_bits=found.weight_bits,
            bit_operations=found.bit_operations,
            lut=self._lut_of(network, description.recipe) if self._lut_of else None,
            images=len(split),
        )

    def _quantized(self, recipe: Recipe) -> tuple[nn.Module, NetworkDescription]:
        key = key_of(recipe)
        if self._last is None or self._last[0] != key:
            self._last = (key, *quantize(self.observed, recipe))
        return self._last[1:]
