"""The command `calibrate`: from a float run to a fixed-point one."""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bitwright.calibration.settings import CalibrationSettings, check_trains, check_widths
from bitwright.cli.console import err, note, out, progress_bar
from bitwright.cli.experiment import Experiment, changed, named, read
from bitwright.cli.named_run import resolve
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, digest, write_text
from bitwright.cli.stage_train import set_aside, store_experiment, training_finished, training_key
from bitwright.cli.versions import installed
from bitwright.quant.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from bitwright.calibration.post_training import Observed
    from bitwright.models.checkpoint import NetworkDescription
    from bitwright.models.dataset import DataSet


@dataclass(frozen=True)
class FloatRun:
    """A trained float network on disk.

    Args:
        experiment: Its settings.
        run: Its folder.
        checkpoint: Its weights.
        recipe_overrides: What the command line says of the fixed-point network's recipe.
    """

    experiment: Experiment
    run: RunFolder
    checkpoint: Path
    recipe_overrides: tuple[str, ...]


def calibrate(
    source: Path,
    runs_dir: Path,
    data_dir: Path | None,
    overrides: Iterable[str],
    widths: Mapping[str, int],
    settings: CalibrationSettings,
    name: str | None,
) -> RunFolder:
    """Calibrate a float network and write the fixed-point one as a run of its own.

    Args:
        source: Of the float network.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.
        overrides: As `experiment.read` takes them; those of the recipe are of the new network.
        widths: Of weights, activations and input, where the overrides say nothing else.
        settings: How to calibrate.
        name: Of the new run.

    Raises:
        ValueError: If the network is not float, or something else is refused.
        OSError: If a file cannot be read or written.
    """
    float_run = read_float(source, runs_dir, overrides)
    experiment = _experiment(float_run, widths, settings, name)
    run = new_run(float_run, runs_dir, experiment.name)
    run.lock()
    wanted = experiment.recipe.without_reasons().model_dump_json()
    key = digest(origin(float_run, settings), wanted)
    report = run.path / "calibration.json"
    if run.is_current("calibrate", key, unchanged=[run.checkpoint, report], present=[run.path / EXPERIMENT]):
        note(f"calibrate: {run.checkpoint} is up to date")
        written_recipe = read(run.path / EXPERIMENT).recipe  # its biases may have got more bits
        store_experiment(experiment.model_copy(update={"recipe": written_recipe}), run)
        _show(run, json.loads(report.read_text()))
        return run
    started = time.monotonic()
    # Imported late: torch takes seconds
    from bitwright.calibration.evaluate import calibration_inputs  # noqa: PLC0415
    from bitwright.calibration.learned_rounding import steps_to_take  # noqa: PLC0415
    from bitwright.calibration.post_training import prepare, quantize, settled  # noqa: PLC0415
    from bitwright.models import dataset  # noqa: PLC0415
    from bitwright.models.checkpoint import load  # noqa: PLC0415

    use_threads(experiment)
    network, description = load(float_run.checkpoint)
    data = dataset.load(experiment.data.name, data_dir, validation=experiment.data.validation_fraction, console=err)
    inputs = calibration_inputs(data.train, data.input_scale, settings.samples, experiment.seed)
    with progress_bar("observing", len(inputs)) as count:
        observed = prepare(network, description, inputs, settings, count)
    note(f"calibrate: {len(inputs)} inputs observed, rounding {settings.rounding}")
    learned = steps_to_take(observed.network, experiment.recipe) if settings.rounding == "learned" else 0
    with progress_bar("learning the rounding", learned) if learned else nullcontext(_silent) as count:
        quantised, written = quantize(observed, experiment.recipe, count)
    experiment = experiment.model_copy(update={"recipe": settled(experiment.recipe, written)})
    run.create()
    run.lock()
    result = write_run(run, experiment, observed, quantised, written, data, float_run, started=started)
    run.finish("calibrate", key, time.monotonic() - started, unchanged=[run.checkpoint, report])
    _show(run, result)
    return run


def write_run(
    run: RunFolder,
    experiment: Experiment,
    observed: "Observed",
    network: "nn.Module",
    description: "NetworkDescription",
    data: "DataSet",
    source: FloatRun,
    *,
    started: float,
) -> dict[str, Any]:
    """Write a calibrated network as a run like any other; return what calibration.json says.

    Args:
        run: Its folder.
        experiment: Its settings.
        observed: What it was made from.
        network: The fixed-point network.
        description: Of it.
        data: The data set.
        source: The float network's run.
        started: When the work began, by the monotonic clock.

    Raises:
        OSError: If a file cannot be written.
    """
    from bitwright.calibration.evaluate import scores  # noqa: PLC0415 - torch takes seconds
    from bitwright.calibration.layer_errors import layer_errors  # noqa: PLC0415
    from bitwright.models.checkpoint import load, save  # noqa: PLC0415
    from bitwright.models.figure import figure_of, measured  # noqa: PLC0415

    in_float, _ = load(source.checkpoint)
    network_kind = experiment.model.kind
    figure = figure_of(network_kind)
    figures = {
        part: {
            kind: measured(network_kind, scores(each, split, data.input_scale), split, data.input_scale)
            for kind, each in (("float", in_float), ("fixed_point", network))
        }
        for part, split in (("validation", data.validation), ("test", data.test))
    }
    result = {
        "source": source.experiment.name,
        "settings": asdict(observed.settings),
        figure: figures,
        "layers": [asdict(layer) for layer in layer_errors(observed, network)],
    }
    metrics = {
        "epochs": 0,
        "best_epoch": 0,
        f"validation_{figure}": figures["validation"]["fixed_point"],
        "seconds": round(time.monotonic() - started, 1),
        "history": [],
    }
    for stage in ("train", "calibrate"):
        run.forget(stage)
    (run.path / "calibration.json").unlink(missing_ok=True)
    set_aside(run, training_key(experiment, run))
    run.verification.unlink(missing_ok=True)
    save(run.checkpoint, network, description)
    write_text(run.path / "calibration.json", json.dumps(result, indent=2) + "\n")
    write_text(run.metrics, json.dumps(metrics, indent=2) + "\n")
    store_experiment(experiment, run)
    training_finished(experiment, run)
    return result


def new_run(source: FloatRun, runs_dir: Path, name: str) -> RunFolder:
    """Return the folder of a run that is made from a float one.

    Raises:
        ValueError: If it is the float one's.
    """
    run = RunFolder(runs_dir / name)
    if run.path.resolve() == source.run.path.resolve():
        raise ValueError(f"--name: run must be another than the float one, not {name}; choose another name")
    return run


def origin(source: FloatRun, settings: CalibrationSettings) -> str:
    """Return a digest of all that calibrated networks depend on, but their recipes."""
    experiment = source.experiment
    parts = (repr(settings), str(experiment.seed), experiment.data.model_dump_json(), str(installed()))
    return digest(source.checkpoint, *parts)


def use_threads(experiment: Experiment) -> None:
    """Let torch use as many threads as the experiment trains with: for small networks, more are slower."""
    import torch  # noqa: PLC0415 - takes seconds

    if experiment.train.threads:
        torch.set_num_threads(experiment.train.threads)


def read_float(source: Path, runs_dir: Path, overrides: Iterable[str]) -> FloatRun:
    """Find a float network by its run, its checkpoint or its experiment.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the experiment is refused.
    """
    ours = tuple(each for each in overrides if each.strip().startswith("recipe."))
    others = [each for each in overrides if each not in ours]
    checkpoint = None
    if source.suffix == ".safetensors":
        checkpoint, source = source, source.parent
        if not (source / EXPERIMENT).is_file():
            raise FileNotFoundError(
                f"{checkpoint}: checkpoint must lie beside its {EXPERIMENT}, which names the data set, not alone; "
                "copy that file too"
            )
    experiment, run = resolve(source, runs_dir, others)
    checkpoint = checkpoint or run.checkpoint
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"{checkpoint}: checkpoint must be an existing file, not missing; run `bitwright train {source}` first"
        )
    return FloatRun(experiment, run, checkpoint, ours)


def _experiment(
    source: FloatRun, widths: Mapping[str, int], settings: CalibrationSettings, name: str | None
) -> Experiment:
    """Return the settings of the new run."""
    recipe = Recipe.model_validate({**widths, "weight_scale_from": "parameter"})
    experiment = changed(source.experiment.model_copy(update={"recipe": recipe}), source.recipe_overrides)
    if settings.fold:  # else the network tells which layers may have one bit
        check_widths(experiment.recipe)
    check_trains(source.experiment.model.tensor_train_rank, settings)
    batch_norm = source.experiment.model.batch_norm and not settings.fold
    experiment = experiment.model_copy(
        update={"model": source.experiment.model.model_copy(update={"batch_norm": batch_norm})}
    )
    bits = f"w{experiment.recipe.weight_bit_width}a{experiment.recipe.activation_bit_width}"
    return named(experiment, f"{source.experiment.name}_ptq_{bits}" if name is None else name)


def _silent(_: int) -> None:
    """Show no progress."""


def _show(run: RunFolder, result: Mapping[str, Any]) -> None:
    """Print what the calibration came to."""
    table = Table(title=f"{run.path}: calibrated", title_justify="left")
    table.add_column("layer", overflow="fold")
    for column in ("bits", "scale", "range", "held", "signal to noise, dB"):
        table.add_column(column, justify="right")
    for layer in result["layers"]:
        table.add_row(
            layer["name"],
            str(layer["bit_width"]),
            f"2^{layer['exponent']}" if layer["exponent"] is not None else "per channel",
            f"{layer['lowest']:.4g} to {layer['highest']:.4g}",
            f"{layer['lowest_held']:.4g} to {layer['highest_held']:.4g}",
            f"{layer['signal_to_noise_db']:.1f}",
        )
    out.print(table)
    for part, figures in result.get("accuracy", {}).items():
        out.print(f"{part}: {figures['float']:.2%} in float, {figures['fixed_point']:.2%} in fixed point", markup=False)
    for part, figures in result.get("mean_squared_error", {}).items():
        before, now = (f"{figures[kind]:.4g}" for kind in ("float", "fixed_point"))
        out.print(f"{part}: mean squared error {before} in float, {now} in fixed point", markup=False)
