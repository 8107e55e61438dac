"""A strategy and a reuse factor that fit the device, or reach a rate."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Literal

from bitwright.estimates.layers import Layer, Matrix
from bitwright.estimates.network import NetworkEstimate, estimate
from bitwright.estimates.reuse import legal_reuse_factors
from bitwright.estimates.settings import Settings

LATENCY_FACTORS = (1, 2, 4, 8, 16, 32, 64)
"""Reuse factors tried with the strategy Latency, for which all are legal."""

MOST_SHARE = 0.8
"""Of each kind of cell that a proposal may take: a fuller device is hard to route."""


def propose(layers: Sequence[Layer], settings: Settings, target_rate_mhz: float | None = None) -> NetworkEstimate:
    """Return the estimate of the best strategy and reuse factor of a network.

    Without a rate: the highest rate that fits the device, and of those the smallest share of it. With a rate: the
    smallest share of the device that reaches it.

    Args:
        layers: Of the network.
        settings: Device, clock, back end and io_type are kept.
        target_rate_mhz: Inferences in a microsecond to reach; None: as many as fit.

    Raises:
        ValueError: If none does; the message names the nearest.
    """
    tried = [estimate(layers, candidate) for candidate in _candidates(layers, settings)]
    possible = [one for one in tried if not one.stops and _largest_share(one) <= MOST_SHARE]
    reaching = [one for one in possible if target_rate_mhz is None or one.rate_mhz >= target_rate_mhz]
    if not reaching:
        raise ValueError(_refusal(tried, possible, settings, target_rate_mhz))
    if target_rate_mhz is None:
        return min(reaching, key=lambda one: (one.initiation_interval_cycles, _largest_share(one)))
    return min(reaching, key=lambda one: (_largest_share(one), one.initiation_interval_cycles))


def _largest_share(one: NetworkEstimate) -> float:
    return max(one.shares.values())


def _candidates(layers: Sequence[Layer], settings: Settings) -> Iterator[Settings]:
    """Yield every strategy with the factors that differ for some layer."""
    legal = {factor for layer in layers if isinstance(layer, Matrix) for factor in legal_reuse_factors(layer)}
    for factor in LATENCY_FACTORS:
        yield _with(settings, "Latency", factor)
    for factor in sorted(legal):
        yield _with(settings, "Resource", factor)


def _with(settings: Settings, strategy: Literal["Latency", "Resource"], factor: int) -> Settings:
    target = settings.target.model_copy(update={"strategy": strategy, "reuse_factor": factor})
    return Settings(target, settings.part)


def _refusal(
    tried: Sequence[NetworkEstimate], possible: Sequence[NetworkEstimate], settings: Settings, rate: float | None
) -> str:
    device = settings.part.device
    if possible:
        best = max(possible, key=lambda one: one.rate_mhz)
        return (
            f"--target-rate-mhz: rate must be at most {best.rate_mhz:.4g} MHz, the highest that fits {device}, not "
            f"{rate:.4g}; take a larger part or fewer bits"
        )
    without_errors = [one for one in tried if not one.stops]
    if not without_errors:
        first = next(finding for finding in tried[-1].findings if finding.stops)
        return f"--fit: {first.text}; no strategy avoids it"
    least = min(without_errors, key=_largest_share)
    kind = max(least.shares, key=lambda name: least.shares[name])
    need = getattr(least.cells, kind) if least.shares[kind] < inf else 0
    return (
        f"--part: {device} must hold the network in {MOST_SHARE:.0%} of its {kind.upper()}, not need {need:,.0f} of "
        f"{getattr(settings.part.cells, kind):,.0f}; take a larger part or fewer bits"
    )
