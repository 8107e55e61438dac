"""A run's folder as the stages leave it, without the minutes of training and compiling; and a page, read again."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from networks import graph

from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_program, save_array, write_lowered
from bitwright.cli.stage_hls import judge
from bitwright.export.interface import input_codes
from bitwright.export.lower import lower

INPUTS = 40
EXPERIMENT = '# made by hand\nname = "small"\nseed = 7\n'
HISTORY = [
    {"epoch": 0, "validation_accuracy": 0.5, "validation_loss": 1.25, "train_loss": 2.0},
    {"epoch": 1, "validation_accuracy": 0.84375, "validation_loss": 0.5, "train_loss": 0.75},
]
METRICS = {"epochs": 2, "best_epoch": 1, "validation_accuracy": 0.84375, "seconds": 3.5, "history": HISTORY}

BODY = (
    "[in] q = Quant (x, half, zero, four) [w1] v1 = Quant (a, half, zero, three) "
    "[conv] m1 = Conv <kernel_shape=[2, 2]> (q, v1) [act1] r1 = UnsignedQuant (m1, half, zero, three) "
    "[flat] f = Flatten (r1) [w2] v2 = Quant (b, half, zero, three) [fc1] m2 = MatMul (f, v2) "
    "[act2] r2 = Quant (m2, half, zero, four) [w3] v3 = BipolarQuant (c, one) [fc2] m3 = MatMul (r2, v3) "
    "[act3] r3 = Quant (m3, half, zero, four) [sum] s = Add (r3, r2) [act4] t = BipolarQuant (s, one) "
    "[w4] v4 = BipolarQuant (d, one) [out] y = MatMul (t, v4)"
)
SHAPES = {"conv": (2, 2, 1, 3), "fc1": (12, 5), "fc2": (5, 5), "out": (5, 4)}
"""Of the weights, channels last."""


def small_run(folder: Path) -> RunFolder:
    """Write a run with a convolution, dense layers, one of one bit alone, and a join."""
    random = np.random.default_rng(3)
    built = graph(
        BODY,
        (1, 1, 3, 3),
        (1, 4),
        a=random.normal(0, 1, (3, 1, 2, 2)),
        b=random.normal(0, 1, (12, 5)),
        c=random.normal(0, 1, (5, 5)),
        d=random.normal(0, 1, (5, 4)),
    )
    network = lower(built, "small")
    run = RunFolder(folder)
    run.create()
    write_lowered(network, run)
    save_array(run.inputs, input_codes(network, random.normal(0, 2, (INPUTS, 1, 3, 3)).astype(np.float32)))
    codes = load_program(run)(np.load(run.inputs).astype(np.int64))
    for level in ("torch", "program"):
        save_array(run.output(level), codes)
    save_array(run.labels, random.integers(0, 4, INPUTS))
    run.metrics.write_text(json.dumps(METRICS))
    (folder / "experiment.toml").write_text(EXPERIMENT)
    judge(run)
    return run


CALIBRATED = """name = "small"
seed = 7

[model]
batch_norm = false

[recipe]
weight_bit_width = 8
activation_bit_width = 6
bias_bit_width = 18
weight_scale_from = "parameter"

[recipe.layers.conv]
weight_bit_width = 3
activation_bit_width = 2
why = "weights of 2 bits reached 71.00%"

[recipe.layers.out]
weight_bit_width = 5
"""
SETTINGS = {
    "method": "percentile",
    "weight_method": "mse",
    "percentile": 99.5,
    "samples": 1024,
    "fold": False,
    "equalize": True,
    "correct_bias": True,
    "rounding": "gptq",
}
TENSORS = [
    ("conv", 3, None, -1.75, 1.40625, -0.75, 0.75, 14.316682614459342),
    ("act1", 2, -1, 0.0, 3.4917802810668945, 0.0, 1.5, 12.32179652836113),
    ("out", 5, -3, 0.25, 0.5, -1.875, 1.875, -0.5),
]
TENSOR = ("name", "bit_width", "exponent", "lowest", "highest", "lowest_held", "highest_held", "signal_to_noise_db")
CALIBRATION = {
    "source": "small_float",
    "settings": SETTINGS,
    "accuracy": {
        "validation": {"float": 0.9652777, "fixed_point": 0.84375},
        "test": {"float": 0.5, "fixed_point": 0.48},
    },
    "layers": [dict(zip(TENSOR, tensor, strict=True)) for tensor in TENSORS],
}
WANTED = {
    "target_accuracy": None,
    "max_accuracy_loss": 0.13,
    "max_bits": None,
    "max_lut": None,
    "cost": "weight_bits",
    "start_bit_width": 8,
    "trials": 20,
    "storage": "postgresql://someone:secret@host/base",
    "processes": 2,
    "method": "percentile",
    "rounding": "gptq",
    "samples": 1024,
    "name": None,
}
LOSSES = [
    ("conv", "weight", 4, 0.96, 0.0053),
    ("conv", "weight", 2, 0.3, 0.6653),
    ("conv", "activation", 4, 0.97, -0.0047),
    ("conv", "activation", 2, 0.9653, 0.0),
    ("out", "weight", 4, 0.96526, 0.00004),
]
LOSS = ("layer", "part", "bit_width", "accuracy", "loss")


def candidate(conv: int, out: int, accuracy: float, weight_bits: int) -> dict[str, Any]:
    """Return one as search.json has it; that of 3 and 5 bits is the winner."""
    layers = {
        "conv": {"weight_bit_width": conv, "activation_bit_width": 2, "why": ""},
        "out": {"weight_bit_width": out, "why": ""},
    }
    widths = {"weight_bit_width": 8, "activation_bit_width": 6, "input_bit_width": 8, "bias_bit_width": 16}
    return {
        "recipe": {**widths, "weight_scale": "per_tensor", "weight_scale_from": "parameter", "layers": layers},
        "accuracy": accuracy,
        "weight_bits": weight_bits,
        "bit_operations": 46152 + weight_bits,
        "lut": None,
        "images": 144,
    }


def point(conv: int, out: int, accuracy: float, weight_bits: int) -> dict[str, Any]:
    """Return a candidate that was lowered."""
    lowered = {"lut": 1.5 * weight_bits + 0.625, "integers_compared": 1440 + conv, "different": 0}
    return candidate(conv, out, accuracy, weight_bits) | lowered


SEARCH = {
    "wanted": WANTED,
    "float_accuracy": 0.9652777,
    "target_accuracy": 0.8352777,
    "candidates": 83,
    "winner": candidate(3, 5, 0.84375, 2348),
    "front": [point(2, 5, 0.71, 2316), point(3, 5, 0.84375, 2348), point(6, 7, 0.9722222, 4816)],
    "sensitivity": [dict(zip(LOSS, loss, strict=True)) for loss in LOSSES],
    "versions": {},
}


def searched_run(folder: Path) -> RunFolder:
    """Write the run of a search's winner, exported; without search.json it is one that `calibrate` wrote."""
    run = small_run(folder)
    metrics = {"epochs": 0, "best_epoch": 0, "validation_accuracy": 0.84375, "seconds": 0.2, "history": []}
    contents = {run.metrics: metrics, folder / "calibration.json": CALIBRATION, folder / "search.json": SEARCH}
    for path, content in contents.items():
        path.write_text(json.dumps(content))
    (folder / "experiment.toml").write_text(CALIBRATED)
    return run


@dataclass
class Read(HTMLParser):
    """A page as a parser sees it."""

    tags: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    shown: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._inside: list[str | None] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, its attributes, and the figure that it shows."""
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        if tag in ("span", "tspan"):
            self._inside.append(dict(attrs).get("data-figure"))
        if tag in ("span", "tspan") and self._inside[-1]:
            self.shown.append((str(self._inside[-1]), ""))

    def handle_endtag(self, tag: str) -> None:
        """Leave a figure."""
        if tag in ("span", "tspan"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self.text += data
        if self._inside and self._inside[-1]:
            path, text = self.shown[-1]
            self.shown[-1] = (path, text + data)

    @property
    def json(self) -> dict[str, Any]:
        """The embedded JSON."""
        found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', self.source, re.DOTALL)
        assert found is not None
        content: dict[str, Any] = json.loads(found[1])
        return content


def at(data: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return what stands at a path of the JSON."""
    for name in path.split("."):
        data = data[int(name)] if isinstance(data, list) else data[name.replace("/", ".")]
    return data


def says(text: str, value: object) -> bool:
    """Return whether a text shows a value, to as many digits as it has."""
    if value is None:
        return text == "-"
    if isinstance(value, str):
        return text == value
    assert isinstance(value, int | float)
    digits, share = text.replace(",", "").removesuffix(" %"), text.endswith(" %")
    wanted = 100 * value if share else value
    if isinstance(value, int) and not share:
        return digits == str(value)
    decimals = len(digits.partition("e")[0].partition(".")[2])
    step = 10.0 ** -(decimals if "e" not in digits else decimals - int(digits.partition("e")[2]))
    return abs(float(digits) - wanted) <= (5e-4 if digits.lstrip("-").isdecimal() else 0.5 * step) * 1.000001
