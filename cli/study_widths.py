"""`bitwright study widths`: calibration beside training, at each bit width."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.cli.console import out
from bitwright.cli.experiment import Experiment, changed, override_key
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_train import train
from bitwright.cli.study_chart import accuracy_chart
from bitwright.cli.study_source import Source
from bitwright.cli.study_store import Result, Setting
from bitwright.models.checkpoint import load
from bitwright.quant.recipe import Recipe

OWN = {
    "recipe.weight_bit_width": "give --bits",
    "recipe.activation_bit_width": "give --bits",
    "recipe.input_bit_width": "give --input-bit-width",
    "train.epochs": "give --epochs",
    "train.start_from": "it is the float network",
    "train.devices": "each training takes one",
    "train.nodes": "each training takes one",
    "seed": "give --seeds",
}
"""Keys that the study itself sets, and what to do instead of setting them."""


@dataclass(frozen=True)
class WidthsPlan:
    """What to compare.

    Args:
        bits: Of weights and activations.
        epochs: Of each training.
        seeds: Of the trainings, and of the draws of the calibration data.
        rounding: Of calibrated weights.
        input_bit_width: Bits of the network's input.
    """

    bits: tuple[int, ...]
    epochs: int
    seeds: tuple[int, ...]
    rounding: Rounding
    input_bit_width: int


def check_overrides(overrides: Iterable[str]) -> None:
    """Refuse to study another network than the run's, or to say again what an option or the study itself says.

    Raises:
        ValueError: If an override is not of the recipe or the training, or is one of those.
    """
    for key in map(override_key, overrides):
        if key in OWN:
            raise ValueError(f"--set: key must be one that the study does not set itself, not {key!r}; {OWN[key]}")
        if not key.startswith(("train.", "recipe.")):
            raise ValueError(
                f"--set: key must be of recipe or train, not {key!r}; --epochs and --seeds are options, and the rest "
                "is the float network's"
            )


def widths(source: Source, plan: WidthsPlan) -> None:
    """Compare PTQ with QAT, write the figures, the table and the plot, and print them.

    Raises:
        ValueError: If a network cannot be calibrated or trained.
        OSError: If a file cannot be read or written.
    """
    store = source.store("widths")
    calibration = source.calibration(rounding=plan.rounding)
    settings = [
        _setting(source, plan, calibration, kind, bit_width, seed)
        for kind in ("PTQ", "QAT")
        for seed in plan.seeds  # outside: one draw of calibration data serves all widths
        for bit_width in plan.bits
    ]

    def compute(setting: Setting) -> Result:
        match setting["kind"]:
            case "float":
                return {"accuracy": source.test_accuracy(source.loaded[0])}
            case "PTQ":
                recipe = Recipe.model_validate(setting["recipe"])
                return {"accuracy": source.calibrated_accuracy(calibration, setting["seed"], recipe)}
            case _:
                return _trained(source, plan, setting)

    in_float, *found = store.results([{"kind": "float"}, *settings], compute, _words)
    rows = _rows(plan, settings, found)
    reference = {"method": "float", "bit_width": 32, "accuracy": in_float["accuracy"], "standard_deviation": None}
    store.finish(asdict(plan), {"": [{**reference, "seeds": 1}, *rows]})
    lines = {
        kind: {row["bit_width"]: (row["accuracy"], row["standard_deviation"]) for row in rows if row["method"] == kind}
        for kind in ("PTQ", "QAT")
    }
    accuracy_chart(
        store.path.with_suffix(".svg"), lines, in_float["accuracy"], label="bits of the weights and the activations"
    )
    _show(store.path.with_suffix(""), plan, lines, in_float["accuracy"])


def qat_experiment(source: Source, plan: WidthsPlan, bit_width: int, seed: int) -> Experiment:
    """Return the experiment of a training: `bitwright train` with it gives the same network.

    Raises:
        ValueError: If the settings are refused.
    """
    base = source.run.experiment
    update = {
        "epochs": plan.epochs,
        "start_from": str(source.run.checkpoint.resolve()),
        "devices": 1,  # several would start this whole command once more each
        "nodes": 1,
    }
    return changed(
        base.model_copy(
            update={
                "name": f"qat_w{bit_width}a{bit_width}_s{seed}",
                "seed": seed,
                "recipe": _recipe(source, plan, bit_width),
                "train": base.train.model_copy(update=update),
            }
        ),
        (),
    )


def _trained(source: Source, plan: WidthsPlan, setting: Setting) -> Result:
    experiment = qat_experiment(source, plan, setting["bit_width"], setting["seed"])
    run = RunFolder(source.folder / experiment.name)
    train(experiment, run, source.data_dir)
    network, _ = load(run.checkpoint)
    return {"accuracy": source.test_accuracy(network)}


def _setting(
    source: Source, plan: WidthsPlan, calibration: CalibrationSettings, kind: str, bit_width: int, seed: int
) -> Setting:
    common = {"kind": kind, "bit_width": bit_width, "seed": seed}
    common["recipe"] = _recipe(source, plan, bit_width).model_dump()
    if kind == "PTQ":
        return {**common, "calibration": asdict(calibration)}
    training = qat_experiment(source, plan, bit_width, seed).train.model_dump(exclude={"start_from", "logger"})
    return {**common, "train": training}


def _recipe(source: Source, plan: WidthsPlan, bit_width: int) -> Recipe:
    return source.recipe(
        weight_bit_width=bit_width, activation_bit_width=bit_width, input_bit_width=plan.input_bit_width
    )


def _words(setting: Setting, result: Result) -> str:
    if setting["kind"] == "float":
        return f"float: {result['accuracy']:.2%}"
    return f"{setting['kind']}, {setting['bit_width']} bits, seed {setting['seed']}: {result['accuracy']:.2%}"


def _rows(plan: WidthsPlan, settings: Sequence[Setting], found: Sequence[Result]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over the seeds, of each kind at each width."""
    rows = []
    for kind in ("PTQ", "QAT"):
        for bit_width in plan.bits:
            values = [
                float(result["accuracy"])
                for setting, result in zip(settings, found, strict=True)
                if (setting["kind"], setting["bit_width"]) == (kind, bit_width)
            ]
            rows.append(
                {
                    "method": kind,
                    "bit_width": bit_width,
                    "accuracy": statistics.fmean(values),
                    "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
                    "seeds": len(values),
                }
            )
    return rows


def _show(
    where: object, plan: WidthsPlan, lines: Mapping[str, Mapping[int, tuple[float, float | None]]], in_float: float
) -> None:
    seeds = f"seed {plan.seeds[0]}" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
    table = Table(title=f"accuracy on test, {in_float:.2%} in float; {seeds}, {epochs} of QAT")
    table.add_column("bits", justify="right")
    for kind in lines:
        table.add_column(kind, justify="right")
    for bit_width in plan.bits:
        table.add_row(str(bit_width), *(_cell(*points[bit_width]) for points in lines.values()))
    out.print(table)
    out.print(f"written  {where}.json, .csv and .svg", markup=False)


def _cell(mean: float, deviation: float | None) -> str:
    return f"{mean:.2%}" if deviation is None else f"{mean:.2%} ± {100 * deviation:.2f}"
