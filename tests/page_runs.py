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
    return abs(float(digits) - wanted) <= (0.5 * step if not float(digits).is_integer() else 5e-4) * 1.000001
