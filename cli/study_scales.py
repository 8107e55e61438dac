"""`bitwright study scales`: one scale a layer beside one a channel, and powers of two beside free scales."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from rich.table import Table

from bitwright.calibration.fold import Weighted
from bitwright.calibration.observers import Method
from bitwright.calibration.scale_errors import scale_errors
from bitwright.cli.console import out
from bitwright.cli.study_chart import bars_chart
from bitwright.cli.study_source import Source
from bitwright.cli.study_store import Result, Setting
from bitwright.quant.recipe import Recipe, Scale

METHODS: tuple[Method, ...] = ("min_max", "percentile", "mse", "entropy")
"""To find the range of weights, which come in one batch: a moving average of it would be min_max again."""

KINDS = {
    (False, False): "tensor, free",
    (False, True): "tensor, 2^n",
    (True, False): "channel, free",
    (True, True): "channel, 2^n",
}
"""Words for `ScaleError.per_channel` and `power_of_two`."""


@dataclass(frozen=True)
class ScalesPlan:
    """What to compare.

    Args:
        bit_width: Of the weights.
        activation_bit_width: Of the activations.
        input_bit_width: Of the network's input.
        samples: Inputs to calibrate on.
    """

    bit_width: int
    activation_bit_width: int
    input_bit_width: int
    samples: int


def scales(source: Source, plan: ScalesPlan) -> None:
    """Measure each layer's error and the accuracy, write figures, tables and plot, and print them.

    Raises:
        ValueError: If the network cannot be calibrated.
        OSError: If a file cannot be read or written.
    """
    store = source.store("scales")
    seed = source.run.experiment.seed
    calibrations = {method: source.calibration(samples=plan.samples, weight_method=method) for method in METHODS}

    def recipe(scale: Scale) -> Recipe:
        widths = source.recipe(
            weight_bit_width=plan.bit_width,
            activation_bit_width=plan.activation_bit_width,
            input_bit_width=plan.input_bit_width,
        )
        return widths.model_copy(update={"weight_scale": scale})

    errors: list[Setting] = [
        {"kind": "errors", "bit_width": plan.bit_width, "seed": seed, "calibration": asdict(calibration)}
        for calibration in calibrations.values()
    ]
    accuracies: list[Setting] = [
        {"kind": "accuracy", "recipe": recipe(scale).model_dump(), "seed": seed, "calibration": asdict(calibration)}
        for calibration in calibrations.values()
        for scale in get_args(Scale)
    ]

    def compute(setting: Setting) -> Result:
        if setting["kind"] == "float":
            return {"accuracy": source.test_accuracy(source.loaded[0])}
        calibration = calibrations[setting["calibration"]["weight_method"]]
        if setting["kind"] == "accuracy":
            found = Recipe.model_validate(setting["recipe"])
            return {"accuracy": source.calibrated_accuracy(calibration, seed, found)}
        network = source.observed(calibration, seed).network
        weights = {
            name: module.weight.detach().numpy()
            for name, module in network.named_modules()
            if isinstance(module, Weighted)
        }
        layers = scale_errors(weights, plan.bit_width, [calibration.weight_method], percentile=calibration.percentile)
        return {"layers": [asdict(each) for each in layers]}

    in_float, *found = store.results([{"kind": "float"}, *errors, *accuracies], compute, _words)
    layers = [layer for each in found[: len(errors)] for layer in each["layers"]]
    reached = [
        {
            "method": setting["calibration"]["weight_method"],
            "weight_scale": setting["recipe"]["weight_scale"],
            "accuracy": result["accuracy"],
        }
        for setting, result in zip(accuracies, found[len(errors) :], strict=True)
    ]
    reached.append({"method": "float", "weight_scale": "", "accuracy": in_float["accuracy"]})
    store.finish(asdict(plan), {"": layers, "accuracy": reached})
    names = list(dict.fromkeys(layer["layer"] for layer in layers))
    panels: dict[str, dict[str, list[float]]] = {
        method: {words: [_decibels(layers, name, method, *kind) for name in names] for kind, words in KINDS.items()}
        for method in METHODS
    }
    bars_chart(store.path.with_suffix(".svg"), panels, names)
    _show(plan, panels, names, reached)
    where = store.path.with_suffix("")
    out.print(f"written  {where}.json, .csv and .svg, {where}_accuracy.csv", markup=False)


def _decibels(layers: Sequence[Any], name: str, method: str, per_channel: bool, power_of_two: bool) -> float:
    """Return the signal to noise of one tensor; infinite if no weight changed."""
    (found,) = (
        each["signal_to_noise_db"]
        for each in layers
        if (each["layer"], each["method"], each["per_channel"], each["power_of_two"])
        == (name, method, per_channel, power_of_two)
    )
    return math.inf if found is None else float(found)


def _words(setting: Setting, result: Result) -> str:
    match setting["kind"]:
        case "float":
            return f"float: {result['accuracy']:.2%}"
        case "errors":
            return f"errors of the weights with {setting['calibration']['weight_method']}"
        case _:
            scale, method = setting["recipe"]["weight_scale"], setting["calibration"]["weight_method"]
            return f"weights {scale} with {method}: {result['accuracy']:.2%}"


def _show(plan: ScalesPlan, panels: Any, names: Sequence[str], reached: Sequence[Any]) -> None:  # noqa: ANN401 - rows
    table = Table(title=f"weights of {plan.bit_width} bits: signal to noise, dB")
    for column in ("layer", "method"):
        table.add_column(column, overflow="fold")
    for words in KINDS.values():
        table.add_column(words, justify="right")
    for place, name in enumerate(names):
        for method in METHODS:
            table.add_row(name, method, *(f"{panels[method][words][place]:.1f}" for words in KINDS.values()))
    out.print(table)
    in_float = reached[-1]["accuracy"]
    table = Table(title=f"accuracy on test, scales powers of two; {in_float:.2%} in float")
    table.add_column("method")
    for scale in get_args(Scale):
        table.add_column(scale, justify="right")
    for method in METHODS:
        table.add_row(method, *(f"{each['accuracy']:.2%}" for each in reached if each["method"] == method))
    out.print(table)
