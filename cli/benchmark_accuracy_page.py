"""docs/accuracy.md: the networks of the field in one table, with what others have published for them."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bitwright.cli.benchmark_origins import CONFIGS
from bitwright.cli.compare_facts import RunFacts
from bitwright.cli.experiment import Experiment, read

PUBLISHED_BY = {
    "bnn_pynq": "Brevitas, `brevitas_examples/bnn_pynq`; input of 1 or 2 bits for the MLPs, of 8 for CNV",
    "fracbnn": "Zhang et al., FracBNN, arXiv:2012.12206; 1.4 bits an activation, shortcuts and last layer in float",
    "qonnx_zoo": (
        "QONNX model zoo, `models/CIFAR10/power-of-two`; input and last layer of 8 bits, its widths are not said there"
    ),
}


@dataclass(frozen=True)
class Row:
    """A network of the table.

    Args:
        network: Its name in the field.
        published: Accuracy on test that others have published for it, in percent.
        source: Of that, a key of `PUBLISHED_BY`.
        csim_inputs: Test inputs to simulate in C; all, if None.
    """

    network: str
    published: float | None = None
    source: str = ""
    csim_inputs: int | None = None


CSIM_INPUTS = 1000
"""Of CIFAR-10's 10,000: an image takes a tenth of a second, and its 10 integers are of all layers' sums."""

ROWS: Mapping[str, Row] = {
    "mnist_tfc_w1a1": Row("TFC", 93.17, "bnn_pynq"),
    "mnist_tfc_w1a2": Row("TFC", 94.79, "bnn_pynq"),
    "mnist_tfc_w2a2": Row("TFC", 96.60, "bnn_pynq"),
    "mnist_sfc_w1a1": Row("SFC", 97.81, "bnn_pynq"),
    "mnist_sfc_w1a2": Row("SFC", 98.31, "bnn_pynq"),
    "mnist_sfc_w2a2": Row("SFC", 98.66, "bnn_pynq"),
    "mnist_lfc_w1a1": Row("LFC", 98.88, "bnn_pynq"),
    "mnist_lfc_w1a2": Row("LFC", 98.99, "bnn_pynq"),
    "mnist_lenet5_w1a1": Row("LeNet-5"),
    "mnist_lenet5_w2a2": Row("LeNet-5"),
    "mnist_lenet5_x2_w1a1": Row("LeNet-5, twice the channels"),
    "mnist_lenet5_x2_w2a2": Row("LeNet-5, twice the channels"),
    "cifar10_cnv_w1a1": Row("CNV", 84.22, "bnn_pynq", csim_inputs=CSIM_INPUTS),
    "cifar10_cnv_w1a2": Row("CNV", 87.80, "bnn_pynq", csim_inputs=CSIM_INPUTS),
    "cifar10_cnv_w2a2": Row("CNV", 89.03, "bnn_pynq", csim_inputs=CSIM_INPUTS),
    "cifar10_resnet8_w2a2": Row(
        "ResNet-8, first and last weights of 8 bits", 91.83, "qonnx_zoo", csim_inputs=CSIM_INPUTS
    ),
    "cifar10_resnet8_w4a4": Row("ResNet-8, first and last weights of 8 bits", csim_inputs=CSIM_INPUTS),
    "cifar10_resnet20_w1a1": Row("ResNet-20", csim_inputs=CSIM_INPUTS),
    "cifar10_fracbnn_w1a1": Row("FracBNN without gates", csim_inputs=CSIM_INPUTS),
    "cifar10_fracbnn_w1a2": Row("FracBNN, the second bit gated", 89.1, "fracbnn", csim_inputs=CSIM_INPUTS),
    "cifar10_mobilenet_v2_w4a4": Row("MobileNetV2", csim_inputs=CSIM_INPUTS),
}
"""By the name of the experiment, in the order of the table."""

CELLS = 11
"""Of a row."""


def rows_of(text: str) -> dict[str, str]:
    r"""Return the rows of a page that have a figure, by experiment: runs that lie elsewhere, of an earlier day.

    Those of a page from before there was a column for it say nothing of what they were trained on.

    >>> rows_of("| TFC | `mnist_tfc_w1a1` | 1, 1 | 95.87 |||||| 0 | a CPU |\n| SFC | `mnist_sfc_w1a1` | 1, 1 |  |")
    {'mnist_tfc_w1a1': '| TFC | `mnist_tfc_w1a1` | 1, 1 | 95.87 |||||| 0 | a CPU |'}
    """
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        config = cells[2].split("`")[1] if len(cells) > 4 and "`" in cells[2] else ""
        if config in ROWS and cells[4]:
            found[config] = line + "  |" * (CELLS + 2 - len(cells))
    return found


def page(
    found: Mapping[str, Sequence[RunFacts]],
    versions: Mapping[str, str],
    cpu: str,
    kept: Mapping[str, str] = MappingProxyType({}),
    kept_curves: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> str:
    """Return docs/accuracy.md.

    Args:
        found: Runs by experiment; those that are missing are open rows.
        versions: Of the parts.
        cpu: That the page was made on.
        kept: Rows of an earlier page, for experiments without runs.
        kept_curves: Curves of an earlier page, the same.
    """
    lines = [
        "<!-- Made by `make bench-accuracy`; do not edit. -->",
        "",
        "# Accuracy of the networks of the field",
        "",
        "Test accuracy in percent: the mean over the seeds and, of several, the standard deviation, of the integer",
        "program; beside it what others have published for the network at these widths. Integers are those of all",
        "outputs on the test set, compared with those of PyTorch at each further level. A row without a figure was not",
        "measured; one that is not above the published figure is open.",
        "",
        *table(found, kept),
        "",
        *(f"{number}. {text}." for number, text in enumerate(PUBLISHED_BY.values(), 1)),
        "",
        "The input of our networks has 8 bits where the experiment does not say otherwise. Each row is",
        "`python -m bitwright.cli.benchmark_accuracy EXPERIMENT`, of `configs/EXPERIMENT.toml`, where every setting",
        "stands but those named beside it; rows whose runs lie elsewhere are as an earlier page had them. How the",
        "networks with a teacher are trained was chosen on seed 1, with test figures in sight. Rows that do not say",
        "what they were trained on were trained before runs wrote it down, on two cores of an AMD EPYC.",
        *curves(found, kept_curves),
        "",
        f"Page and comparisons made with {', '.join(f'{part} {version}' for part, version in versions.items())}",
        f"on {cpu}.",
    ]
    return "\n".join(lines) + "\n"


def table(found: Mapping[str, Sequence[RunFacts]], kept: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| network | experiment | weights, activations | accuracy | published | seeds | epochs | bits of weights | "
        "integers compared | different | trained on |"
    )
    yield "|---" * CELLS + "|"
    places = {source: number for number, source in enumerate(PUBLISHED_BY, 1)}
    for config, row in ROWS.items():
        runs = found.get(config, ())
        if not runs and config in kept:
            yield kept[config]
            continue
        experiment = runs[0].experiment if runs else read(CONFIGS / f"{config}.toml")
        published = f"{row.published:.2f} [{places[row.source]}]" if row.published else ""
        _refuse_mixed(config, runs)
        network = f"{row.network}, with a teacher" if experiment.train.teacher else row.network
        named = ", ".join(f"`{each}`" for each in (config, *changes(config, experiment)))
        reached = _reached(runs, row)
        yield f"| {network} | {named} | {_widths(experiment)} | {reached} | {published} | {_rest(runs)} |"


def changes(config: str, experiment: Experiment) -> tuple[str, ...]:
    """Return the settings of a run's data, network and training that are not those of its experiment in configs/.

    >>> experiment = read(CONFIGS / "cifar10_cnv_w1a1.toml", ["train.epochs=12", "seed=2"])
    >>> changes("cifar10_cnv_w1a1", experiment)
    ('train.epochs=12',)
    """
    places = {"teacher", "start_from"}  # of other runs, which lie where the benchmark puts them
    own, wanted = (
        each.model_dump(mode="json", include={"data", "model", "recipe", "train"}, exclude={"train": places})
        for each in (experiment, read(CONFIGS / f"{config}.toml"))
    )
    return tuple(
        f"{section}.{key}={value}"
        for section, settings in own.items()
        for key, value in settings.items()
        if value != wanted[section][key]
    )


def _refuse_mixed(config: str, runs: Sequence[RunFacts]) -> None:
    """Refuse a row of trainings that differ in more than the seed.

    Raises:
        ValueError: Naming what differs.
    """
    found = {changes(config, each.experiment): each for each in runs}
    if len(found) > 1:
        named = "; ".join(f"{run.run.path.name}: {', '.join(words) or 'none'}" for words, run in found.items())
        raise ValueError(
            f"{config}: changed settings must be the same for every seed, not {named}; train them alike, or name the "
            "others with --seeds"
        )


def curves(
    found: Mapping[str, Sequence[RunFacts]], kept: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Iterator[str]:
    """Yield how far trainings came that were cut short: the accuracy on validation after each epoch."""
    lines = []
    for config in ROWS:
        runs = [each for each in found.get(config, ()) if changes(config, each.experiment)]
        lines += [_curve(config, each) for each in runs]
        if config not in found:
            lines += kept.get(config, ())
    if lines:
        yield ""
        yield "## Trainings cut short"
        yield ""
        yield "CIFAR-10 wants a GPU. Where none was at hand, networks were trained for as many epochs as two cores had"
        yield "time for, with a whole schedule of the learning rate; none of these rows is what its network can"
        yield "reach. Minutes are of all starts of a training together; of those whose row does not say what they"
        yield "were trained on, of the last start alone. Accuracy on validation after each epoch, in percent:"
        yield ""
        yield "| experiment | seed | minutes | validation accuracy, epoch by epoch |"
        yield "|---|---|---|---|"
        yield from lines


def _curve(config: str, facts: RunFacts) -> str:
    metrics = json.loads(facts.run.metrics.read_text())
    reached = " ".join(f"{100 * epoch['validation_accuracy']:.1f}" for epoch in metrics["history"])
    return f"| `{config}` | {facts.experiment.seed} | {metrics['seconds'] / 60:.0f} | {reached} |"


def curves_of(text: str) -> dict[str, tuple[str, ...]]:
    """Return the curves of a page by experiment.

    >>> curves_of("| `cifar10_cnv_w1a1` | 1 | 30 | 40.1 52.3 |")
    {'cifar10_cnv_w1a1': ('| `cifar10_cnv_w1a1` | 1 | 30 | 40.1 52.3 |',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        config = line.split("`")[1] if line.startswith("| `") else ""
        if config in ROWS:
            found[config] = (*found.get(config, ()), line)
    return found


def _widths(experiment: Experiment) -> str:
    recipe = experiment.recipe
    return f"{recipe.weight_bit_width}, {recipe.activation_bit_width}"


def _reached(runs: Sequence[RunFacts], row: Row) -> str:
    reached = [100 * each.accuracy for each in runs if each.accuracy is not None]
    if not reached:
        return ""
    mean = statistics.fmean(reached)
    spread = f" ± {statistics.stdev(reached):.2f}" if len(reached) > 1 else ""
    return f"{mean:.2f}{spread}" + (", open" if row.published is not None and mean <= row.published else "")


def _rest(runs: Sequence[RunFacts]) -> str:
    if not runs:
        return "| | | | | "
    seeds = ", ".join(str(each.experiment.seed) for each in runs)
    levels = list(runs[0].levels)
    shared = [name for name in levels if all(name in each.levels for each in runs)]
    each_level = {name: sum(each.levels[name].compared for each in runs) for name in shared}
    alike = {count: [name for name in shared if each_level[name] == count] for count in each_level.values()}
    numbers = "; ".join(
        f"{count:,} at {'each of ' if len(names) > 1 else ''}{', '.join(names)}" for count, names in alike.items()
    )
    different = sum(level.different for each in runs for level in each.levels.values())
    bits = f"{runs[0].weight_bits:,}" if runs[0].weight_bits is not None else ""
    told = dict.fromkeys(map(_trained_on, runs))
    where = "; ".join(each or "earlier: not written down" for each in told) if any(told) else ""
    return f"{seeds} | {runs[0].experiment.train.epochs} | {bits} | {numbers} | {different} | {where}"


def _trained_on(facts: RunFacts) -> str:
    """Return what a run says of its training; nothing, if it is from before that was written down."""
    metrics = json.loads(facts.run.metrics.read_text()) if facts.run.metrics.is_file() else {}
    if "hardware" not in metrics:
        return ""
    return f"{metrics['hardware']}, torch {metrics['versions']['torch']}, brevitas {metrics['versions']['brevitas']}"
