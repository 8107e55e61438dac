"""Scores recipes: the network of each, calibrated, on the validation split. Imports torch."""

from collections.abc import Callable

from torch import nn

from bitwright.calibration.candidate import Candidate, CandidateFile
from bitwright.calibration.costs import costs
from bitwright.calibration.evaluate import scores
from bitwright.calibration.post_training import Observed, quantize
from bitwright.models.batches import accuracy
from bitwright.models.dataset import Split
from bitwright.quant.recipe import Recipe

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

    def score(self, recipe: Recipe) -> Candidate:
        """Return what a recipe reaches and costs.

        Raises:
            ValueError: If the network cannot be calibrated with it.
            OSError: If the candidate cannot be kept.
        """
        known = self.file.get(recipe)
        if known is not None and (known.lut is not None or self._lut_of is None):
            return known
        network, description = quantize(self.observed, recipe)
        found = costs(network, self.observed.inputs[:1])
        candidate = Candidate(
            recipe=recipe.without_reasons(),
            accuracy=accuracy(scores(network, self._validation, self._input_scale), self._validation.labels),
            weight_bits=found.weight_bits,
            bit_operations=found.bit_operations,
            lut=self._lut_of(network, description.recipe) if self._lut_of else None,
            images=len(self._validation),
        )
        self.file.add(candidate)
        self.scored += 1
        return candidate
