"""The winner of a search: a run of its own, and a recipe for people."""

import time
from collections.abc import Collection
from pathlib import Path

import tomli_w

from bitwright.calibration.candidate import Candidate, CandidateFile
from bitwright.calibration.moves import NARROWEST, Move, Part
from bitwright.calibration.post_training import quantize, settled
from bitwright.cli.console import note, out
from bitwright.cli.experiment import Experiment, named
from bitwright.cli.page_command import write_and_say
from bitwright.cli.run_folder import RunFolder, write_text
from bitwright.cli.search_state import Search
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.stage_calibrate import FloatRun, new_run, write_run
from bitwright.quant.recipe import LEFT_OUT, Recipe

PICTURES = ("front.svg", "sensitivity.svg", "search.json")


def winners_run(source: FloatRun, wanted: Wanted, runs_dir: Path) -> RunFolder:
    """Return the folder that a winner would get.

    Raises:
        ValueError: If its name cannot be.
    """
    name = named(source.experiment, f"{source.experiment.name}_search" if wanted.name is None else wanted.name).name
    return new_run(source, runs_dir, name)


def write_winner(search: Search, winner: Candidate, run: RunFolder) -> None:
    """Write the winner's run and its recipe, and say where they are.

    Args:
        search: Of which it is the winner.
        winner: A candidate.
        run: Its folder.

    Raises:
        OSError: If a file cannot be written.
    """
    recipe = with_reasons(winner.recipe, search.scorer.file, search.binarisable)
    observed = search.scorer.observed
    network, description = quantize(observed, recipe)
    base = search.source.experiment.model_copy(
        update={
            "model": description.model,
            "recipe": settled(recipe, description),
        }
    )
    experiment = named(base, run.path.name)
    run.create()
    run.lock()
    write_run(run, experiment, observed, network, description, search.data, search.source, started=time.monotonic())
    _write_recipe(run, _recipe_text(search, winner, experiment))
    for picture in PICTURES:
        write_text(run.path / picture, (search.folder / picture).read_text())
    out.print(
        f"run      {run.path}: go on with `bitwright export {run.path}` and `bitwright hls {run.path}`", markup=False
    )
    write_and_say(run)
    out.print(f"recipe   {run.path / 'recipe.toml'}: edit it, or train it with `bitwright train`", markup=False)
    out.print(f"pictures {search.folder / 'front.svg'}, {search.folder / 'sensitivity.svg'}", markup=False)


def _write_recipe(run: RunFolder, text: str) -> None:
    """Write the recipe; one that a person edited is kept beside it."""
    recipe = run.path / "recipe.toml"
    if recipe.exists() and not run.is_current("recipe", "", unchanged=[recipe]) and recipe.read_text() != text:
        edited = recipe.with_name("recipe.edited.toml")
        recipe.replace(edited)
        note(f"search: your recipe.toml lies in {edited}")
    write_text(recipe, text)
    run.finish("recipe", "", 0.0, unchanged=[recipe])


def with_reasons(recipe: Recipe, tried: CandidateFile, binarisable: Collection[str] = ()) -> Recipe:
    """Say for every layer why it has no fewer bits: what the recipe with one bit less there reached.

    Args:
        recipe: With every layer named.
        tried: Candidates.
        binarisable: Layers whose weights may have had 1 bit.
    """
    layers = {}
    for name, own in recipe.layers.items():
        words = []
        parts: tuple[Part, ...] = ("weight", "activation")
        for part in parts:
            width = own.weight_bit_width if part == "weight" else own.activation_bit_width
            if width is None or width == LEFT_OUT:
                continue
            if width == 1:
                continue
            if width <= NARROWEST and not (part == "weight" and name in binarisable):
                words.append(f"{part}s of fewer than {NARROWEST} bits need training")
                continue
            less = tried.get(Move(name, part, width - 1).apply(recipe))
            found = f"reached {less.accuracy:.2%}" if less else "were not tried"
            words.append(f"{part}s of {width - 1} bits {found}")
        least = "left out" if own.weight_bit_width == LEFT_OUT else "1 bit, the least"
        layers[name] = own.model_copy(update={"why": "; ".join(words) or least})
    return recipe.model_copy(update={"layers": layers})


def _recipe_text(search: Search, winner: Candidate, experiment: Experiment) -> str:
    """Return the winner as an experiment that `train` takes: quantisation-aware, from the float weights on."""
    start = search.source.checkpoint.resolve()
    model = search.source.experiment.model
    settings = experiment.model_copy(
        update={
            "name": f"{experiment.name}_trained",
            "model": model,
            "train": experiment.train.model_copy(update={"start_from": str(start)}),
        }
    ).model_dump(exclude_none=True)
    settings["model"]["hidden"] = list(model.hidden)
    return (
        f"# Found by `bitwright search`: {winner.accuracy:.2%} on validation without training "
        f"({search.float_accuracy:.2%} in float), {winner.weight_bits:,} bits of weights.\n"
        "# [recipe.layers] has the widths of each; `bitwright train` on this file starts from the float weights.\n\n"
        f"{tomli_w.dumps(settings)}"
    )
