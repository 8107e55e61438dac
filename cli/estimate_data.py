"""The estimate for programs: JSON."""

import json
from dataclasses import asdict
from typing import Any

from bitwright.estimates.cost import LayerCost
from bitwright.estimates.errors import MeasuredErrors, spreads
from bitwright.estimates.network import NetworkEstimate


def json_text(name: str, found: NetworkEstimate, errors: MeasuredErrors, unrolled: float, *, proposed: bool) -> str:
    """Return JSON: every figure is a number, and its name says its unit."""
    target, part = found.settings.target, found.settings.part
    whole = {
        "network": name,
        "stage": "estimate of C synthesis",
        "proposed": proposed,
        "target": target.model_dump(),
        "part": {"device": part.device, **_cells(part.cells), "uram": part.uram, "source": part.source},
        "pipeline": found.pipeline,
        "fits": found.fits,
        "synthesizable": not found.stops,
        "total": {
            **_cells(found.cells),
            "latency_cycles": found.latency_cycles,
            "latency_ns": found.latency_ns,
            "initiation_interval_cycles": found.initiation_interval_cycles,
            "rate_mhz": found.rate_mhz,
        },
        "utilization": found.shares,
        "unrolled_lut": round(unrolled, 1),
        "layers": [_layer(layer) for layer in found.layers],
        "findings": [asdict(finding) for finding in found.findings],
        "errors": {
            "c_synthesis": [
                {"figure": one.figure, "lowest_ratio": one.lowest, "highest_ratio": one.highest, "count": one.count}
                for one in spreads(errors.hls)
            ],
            "unrolled": [
                {"design": one.design, "tool": one.tool, "figure": one.figure, "ratio": one.ratio}
                for one in errors.unrolled
            ],
        },
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _layer(layer: LayerCost) -> dict[str, Any]:
    figures = asdict(layer)
    del figures["cells"]
    return {**figures, **_cells(layer.cells)}


def _cells(cells: Any) -> dict[str, float]:  # noqa: ANN401
    return {name: round(value, 1) for name, value in asdict(cells).items()}
