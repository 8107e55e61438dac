"""A comparison for programs: JSON and CSV."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bitwright.cli.compare_rows import Row

SPREAD = ("mean", "standard_deviation", "lowest", "highest")
PLAIN = (
    "weights",
    "weight_bits",
    "compression",
    "packed_bytes",
    "program_bytes",
    "checkpoint_bytes",
    "bit_operations",
)


@dataclass(frozen=True)
class Timing:
    """How speeds were measured.

    Args:
        images: Inputs at a call, at most.
        threads: Of everything; one is timed by its CPU time, more by the clock.
        processor: Name of the CPU.
        load: Of the machine over the minute before, in processes that wanted to run.
    """

    images: int
    threads: int
    processor: str
    load: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that is compared.

    Args:
        rows: One for each experiment.
        timing: How speeds were measured; None where they were not.
        notes: What could not be timed, and why.
        versions: Of what computed it.
    """

    rows: tuple[Row, ...]
    timing: Timing | None
    notes: tuple[str, ...]
    versions: Mapping[str, str]

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of hardware that any row has, in the order of the flow."""
        return tuple(dict.fromkeys(stage for row in self.rows for stage in row.hardware))

    def data(self) -> dict[str, Any]:
        """Return it as JSON has it: every figure a number, null where there is none.

        >>> Comparison((), None, (), {}).data()["rows"]
        []
        """
        found: dict[str, Any] = json.loads(json.dumps({**asdict(self), "stages": self.stages}, allow_nan=False))
        return found


def json_text(comparison: Comparison) -> str:
    """Return JSON."""
    return json.dumps(comparison.data(), indent=1) + "\n"


def csv_text(comparison: Comparison) -> str:
    r"""Return CSV: a line for each row, a column for each figure, blank where there is none, and one for notes on it.

    >>> csv_text(Comparison((), None, (), {}))
    'name,data,network\n'
    """
    lines = [_flat(row, comparison.stages) for row in comparison.data()["rows"]]
    columns = list(dict.fromkeys(name for line in lines for name in line)) or ["name", "data", "network"]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def _flat(row: Mapping[str, Any], stages: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {name: row[name] for name in ("name", "data", "network", "widths")}
    found["seeds"] = " ".join(map(str, row["seeds"]))
    found |= {f"accuracy_{name}": (row["accuracy"] or {}).get(name) for name in SPREAD}
    if row["mean_squared_error"]:
        found |= {f"mean_squared_error_{name}": row["mean_squared_error"][name] for name in SPREAD}
    found |= {name: row[name] for name in PLAIN}
    for name in ("float32", "float32_onnxruntime", "int8", "program"):
        found[f"{name}_images_per_second"] = (row["speed"] or {}).get(name)
    for name in ("float32_onnxruntime_of_float32", "int8_of_float32", "program_of_float32"):
        found[name] = (row["speed"] or {}).get(name)
    for level, compared in row["levels"].items():
        found[f"{level}_integers_compared"] = (compared or {}).get("compared")
        found[f"{level}_integers_different"] = (compared or {}).get("different")
    found["hls4ml_target"] = row["hls"]
    for stage in stages:
        for kind in ("lut", "ff", "dsp", "bram_18k"):
            found[f"{stage}: {kind}"] = row["hardware"].get(stage, {}).get(kind)
    found["notes"] = " | ".join(row["notes"])
    return found
