"""The page docs/experiments.md, made from the settings themselves: `python -m bitwright.cli.experiment_page`."""

import json
import sys
from typing import Any

from pydantic import BaseModel

from bitwright.cli.experiment import Experiment, sections
from bitwright.quant.recipe import LayerRecipe

INTRODUCTION = """\
# Experiments

<!-- Made by `python -m bitwright.cli.experiment_page > docs/experiments.md`; do not edit. -->

An experiment is one TOML file. It names the data set, the network, the bit widths, the training and the FPGA project;
whatever it leaves out has the default below, so that an empty file is an experiment too.
`configs/` holds complete ones to start from.

```toml
seed = 1

[model]
kind = "mlp"
hidden = [64, 32, 32]

[recipe]
weight_bit_width = 6
activation_bit_width = 6
```

A key can be overridden for one run, as often as wanted: `--set section.key=value`, the value as in TOML. Text needs no
quotes, unless it would read as a number, as `true` or as `false`. `--set model.kind=...` drops the
keys of `[model]` that the other network does not look at; `train` refuses settings without effect.

```console
$ bitwright train configs/digits_mlp_w6a6.toml --set train.epochs=3 --set 'model.hidden=[32, 32]' --set data.name=mnist
```

An unknown key, a value of the wrong type and a combination that cannot be are refused before anything runs. The
commands `export`, `hls`, `verify`, `diff`, `rtl`, `synth`, `estimate` and `page` go on from a run that is there: they
take its own settings said again, `hls`, `export` before it and `estimate` any of `[hls]`, `rtl` its part and period;
any other is refused. So is a file whose network or data were edited after the training; where only the training was,
they say so and go on.
"""

LAYERS = """\
What the layer of a name has of its own, such as `[recipe.layers.conv1]`. A name that the network does not have is
refused with the list of those that it has. On the command line: `--set recipe.layers.conv1.weight_bit_width=4`.
"""


def page() -> str:
    """Return the page: a table of keys for the head of the file, and one for each section.

    >>> page().splitlines()[0]
    '# Experiments'
    """
    head = [name for name in Experiment.model_fields if name not in sections()]
    parts = [INTRODUCTION, "## Head of the file\n", _table(Experiment, head)]
    for name, model in sections().items():
        summary = (model.__doc__ or "").partition("\n")[0]
        keys = [key for key in model.model_fields if key != "layers"]
        parts += [f"## `[{name}]`\n", f"{summary}\n", _table(model, keys)]
        if "layers" in model.model_fields:
            parts += [f"## `[{name}.layers.NAME]`\n", LAYERS, _table(LayerRecipe, list(LayerRecipe.model_fields))]
    return "\n".join(parts)


def _table(model: type[BaseModel], names: list[str]) -> str:
    properties = model.model_json_schema()["properties"]
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name in names:
        schema, field = properties[name], model.model_fields[name]
        default = _default(field.get_default()) if not field.is_required() else "the file's name"
        rows.append(f"| `{name}` | {_value(schema)} | {default} | {_cell(field.description or '')} |")
    return "\n".join(rows) + "\n"


def _default(value: object) -> str:
    return "none" if value is None else f"`{json.dumps(value)}`"


def _value(schema: dict[str, Any]) -> str:
    """Return what a JSON schema admits, in words."""
    if "anyOf" in schema:
        return next(_value(choice) for choice in schema["anyOf"] if choice != {"type": "null"})
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in schema["enum"])
    if schema["type"] == "object":
        return f"section of: {_value(schema['additionalProperties'])}"
    if schema["type"] == "array":
        return f"list of: {_value(schema['items'])}"
    if "pattern" in schema:
        return f"text like `{schema['pattern']}`"
    words = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text"}
    limits = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    return ", ".join(
        [words[schema["type"]], *(f"{word} {schema[key]}" for key, word in limits.items() if key in schema)]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
