"""`bitwright study methods`: the ways to find an activation's range."""

from dataclasses import asdict, dataclass
from typing import get_args

from rich.table import Table

from bitwright.calibration.observers import Method
from bitwright.cli.console import out
from bitwright.cli.study_chart import accuracy_chart
from bitwright.cli.study_source import Source
from bitwright.cli.study_store import Result, Setting
from bitwright.quant.recipe import Recipe


@dataclass(frozen=True)
class MethodsPlan:
    """What to compare.

    Args:
        bits: Of the activations.
        weight_bit_width: Of the weights.
        input_bit_width: Of the network's input.
        samples: Inputs to calibrate on.
    """

    bits: tuple[int, ...]
    weight_bit_width: int
    input_bit_width: int
    samples: int


def methods(source: Source, plan: MethodsPlan) -> None:
    """Calibrate with each method at each width, write figures, table and plot, and print them.

    Raises:
        ValueError: If the network cannot be calibrated.
        OSError: If a file cannot be read or written.
    """
    store = source.store("methods")
    seed = source.run.experiment.seed
    calibrations = {method: source.calibration(samples=plan.samples, method=method) for method in get_args(Method)}
    settings: list[Setting] = [
        {
            "kind": "accuracy",
            "recipe": source.recipe(
                weight_bit_width=plan.weight_bit_width,
                activation_bit_width=bit_width,
                input_bit_width=plan.input_bit_width,
            ).model_dump(),
            "seed": seed,
            "calibration": asdict(calibration),
        }
        for calibration in calibrations.values()
        for bit_width in plan.bits
    ]

    def compute(setting: Setting) -> Result:
        if setting["kind"] == "float":
            return {"accuracy": source.test_accuracy(source.loaded[0])}
        calibration = calibrations[setting["calibration"]["method"]]
        return {"accuracy": source.calibrated_accuracy(calibration, seed, Recipe.model_validate(setting["recipe"]))}

    in_float, *found = store.results([{"kind": "float"}, *settings], compute, _words)
    rows = [
        {
            "method": setting["calibration"]["method"],
            "activation_bit_width": setting["recipe"]["activation_bit_width"],
            "accuracy": result["accuracy"],
        }
        for setting, result in zip(settings, found, strict=True)
    ]
    store.finish(
        asdict(plan),
        {"": [*rows, {"method": "float", "activation_bit_width": 32, "accuracy": in_float["accuracy"]}]},
    )
    lines: dict[str, dict[int, tuple[float, float | None]]] = {method: {} for method in calibrations}
    for row in rows:
        lines[row["method"]][row["activation_bit_width"]] = (row["accuracy"], None)
    accuracy_chart(store.path.with_suffix(".svg"), lines, in_float["accuracy"], label="bits of the activations")
    table = Table(
        title=f"accuracy on test by the activations' bits, {in_float['accuracy']:.2%} in float; "
        f"weights of {plan.weight_bit_width} bits"
    )
    table.add_column("method")
    for bit_width in plan.bits:
        table.add_column(str(bit_width), justify="right")
    for method, points in lines.items():
        table.add_row(method, *(f"{points[bit_width][0]:.2%}" for bit_width in plan.bits))
    out.print(table)
    out.print(f"written  {store.path.with_suffix('')}.json, .csv and .svg", markup=False)


def _words(setting: Setting, result: Result) -> str:
    if setting["kind"] == "float":
        return f"float: {result['accuracy']:.2%}"
    width = setting["recipe"]["activation_bit_width"]
    return f"{setting['calibration']['method']}, {width} bits: {result['accuracy']:.2%}"
