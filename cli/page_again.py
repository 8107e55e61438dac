"""The commands that make a run again: of a trained one, of one that `calibrate` or `search` wrote, of a QONNX file."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import fields

from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli.experiment import Experiment
from bitwright.cli.page_calibration import CalibrationFile
from bitwright.cli.report_sheet import clean
from bitwright.cli.run_folder import EXPERIMENT, RunFolder
from bitwright.cli.search_wanted import Wanted
from bitwright.quant.recipe import Recipe

FURTHER = ("export", "hls", "rtl", "synth")
WIDTHS = ("weight_bit_width", "activation_bit_width", "input_bit_width")
"""What `calibrate` has options for; all else of a recipe is set by --set."""

UNSAID = ("name", "storage")
"""Options that stand elsewhere, or that may hold a password."""


def trained_again(run: RunFolder, called: str) -> tuple[str, ...]:
    """Return the commands that make a trained run again, or the folder that `convert` wrote.

    Args:
        run: The run.
        called: Its folder, as the page shows it.
    """
    if (run.path / EXPERIMENT).is_file():
        return _of_file(run, ("train", *FURTHER))
    if run.qonnx.is_file():
        return (f"bitwright convert {shlex.quote(f'{called}/{run.qonnx.name}')} --out again",)
    return ()


def calibrated_again(
    run: RunFolder,
    experiment: Experiment,
    found: CalibrationFile,
    wanted: Wanted | None,
    recipe_overrides: Iterable[str] = (),
) -> tuple[str, ...]:
    """Return the commands that make a calibrated run again, from the float run.

    Args:
        run: The run.
        experiment: Its settings.
        found: How it was calibrated.
        wanted: What was searched for, if a search made it.
        recipe_overrides: What the search's command line said of the recipe to begin with.
    """
    if wanted is None:
        command, options = "calibrate", [*_widths(experiment.recipe), *_options(found.settings, CalibrationSettings())]
        options += _recipe(experiment.recipe)
    else:
        command, options = "search", list(_options(wanted, Wanted()))
        options += [f"--set {shlex.quote(clean(each))}" for each in recipe_overrides]
    data = [f"--set seed={experiment.seed}", f"--set data.validation_fraction={experiment.data.validation_fraction}"]
    words = (f"bitwright {command} runs/{found.source}", *options, *data, f"--name {experiment.name}")
    return (" ".join(words), *_of_file(run, FURTHER))


def _of_file(run: RunFolder, stages: tuple[str, ...]) -> tuple[str, ...]:
    own = shlex.quote(f"{clean(run.path.resolve().name)}.toml")
    return tuple(f"bitwright {stage} {own}" for stage in stages)


def _widths(recipe: Recipe) -> Iterator[str]:
    for name in WIDTHS:
        yield _option(name, getattr(recipe, name))


def _options(given: CalibrationSettings | Wanted, usual: CalibrationSettings | Wanted) -> Iterator[str]:
    """Yield the options that differ from the usual ones."""
    for one in fields(given):
        value = getattr(given, one.name)
        if one.name not in UNSAID and value != getattr(usual, one.name):
            yield _option(one.name, value)


def _option(name: str, value: object) -> str:
    option = name.replace("_", "-")
    match value:
        case bool():
            return f"--{option}" if value else f"--no-{option}"
        case _:
            return f"--{option} {shlex.quote(clean(str(value)))}"


def _recipe(recipe: Recipe) -> Iterator[str]:
    """Yield what a recipe has besides its three widths, but no reasons."""
    usual = Recipe(weight_scale_from="parameter")
    for name, value in recipe:
        if name not in (*WIDTHS, "layers") and value != getattr(usual, name):
            yield f"--set recipe.{name}={value}"
    for layer, own in recipe.layers.items():
        for name, value in own:
            if name != "why" and value is not None:
                yield f"--set {shlex.quote(f'recipe.layers.{clean(layer)}.{name}={value}')}"
