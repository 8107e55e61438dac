"""An experiment: one TOML file, read into frozen, validated settings."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from bitwright.hls.target import Target
from bitwright.models.autoencoder_settings import check_training, with_own_training
from bitwright.models.model_keys import KINDS_OF
from bitwright.models.settings import IMAGE_SIDES, DataSettings, Kind, ModelSettings, TrainSettings
from bitwright.quant.recipe import Recipe

SIDES = {"digits": 8, "mnist": 28, "fashion-mnist": 28, "cifar10": 32}
"""Rows and columns of each data set of images."""


class Experiment(BaseModel):
    """All settings of a run; each section belongs to the folder that reads it.

    >>> Experiment(name="try").recipe.weight_bit_width
    6
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        description="Name of the run's folder; by default the file's name without its ending."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(1, description="Seed of weights, order and augmentation.")
    data: DataSettings = Field(DataSettings(), description="The data set.")
    model: ModelSettings = Field(ModelSettings(), description="The network.")
    recipe: Recipe = Field(Recipe(), description="The bit widths.")
    train: TrainSettings = Field(TrainSettings(), description="The training.")
    hls: Target = Field(Target(), description="The FPGA project.")

    @model_validator(mode="before")
    @classmethod
    def _training_of_this_network(cls, settings: Any) -> Any:  # noqa: ANN401 - what a file says, not yet checked
        return with_own_training(settings) if isinstance(settings, Mapping) else settings

    @model_validator(mode="after")
    def _combination_is_possible(self) -> Self:
        check_training(self.model, self.train)
        sides = IMAGE_SIDES.get(self.model.kind, ())
        images = [name for name, side in SIDES.items() if side in sides]
        if images and self.data.name not in images:
            side = SIDES.get(self.data.name)
            fitting = [kind for kind in get_args(Kind) if kind not in IMAGE_SIDES or side in IMAGE_SIDES[kind]]
            raise ValueError(
                f"model.kind: value must be one of {', '.join(fitting)} for data.name = {self.data.name!r}, not "
                f"{self.model.kind!r}; {self.model.kind} takes {', '.join(images)}"
            )
        if not self.model.batch_norm and 1 in self.recipe.widths().values():
            raise ValueError(
                "model.batch_norm: value must be true where a width of recipe is 1, not false; "
                "binary layers have no bias"
            )
        if self.model.batch_norm and self.train.batch_size == 1:
            raise ValueError(
                "train.batch_size: value must be at least 2 for model.batch_norm = true, not 1; "
                "one image has no deviation"
            )
        if self.data.name == "jets" and self.train.shift_pixels:
            raise ValueError(
                f"train.shift_pixels: value must be 0 for data.name = 'jets', not {self.train.shift_pixels}; "
                "jets are no images"
            )
        if self.train.flip and self.data.name == "jets":
            raise ValueError("train.flip: value must be false for data.name = 'jets', not true; jets are no images")
        limits = [self.recipe.accumulator_bit_width]
        limits += [layer.accumulator_bit_width for layer in self.recipe.layers.values()]
        if self.train.float_weights_share and any(limits):
            raise ValueError(
                "train.float_weights_share: value must be 0 where recipe limits an accumulator, not "
                f"{self.train.float_weights_share}; only quantised weights are limited"
            )
        if self.train.average_weights and any(limits):
            raise ValueError(
                "train.average_weights: value must be 0 where recipe limits an accumulator, not "
                f"{self.train.average_weights}; an average of weights that keep the limit need not keep it"
            )
        if self.train.float_weights_share and self.train.early_stop_epochs:
            raise ValueError(
                "train.early_stop_epochs: value must be 0 where train.float_weights_share is not, not "
                f"{self.train.early_stop_epochs}; the training could end before the weights are quantised"
            )
        if self.hls.io_type == "io_parallel" and images and self.data.name != "digits":
            raise ValueError(
                f"hls.io_type: value must be 'io_stream' for model.kind = {self.model.kind!r}, not 'io_parallel'; "
                "hls4ml would unroll every position of every convolution"
            )
        return self


def read(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        path: The TOML file.
        overrides: ``section.key=value`` each, the value as in TOML; text needs no quotes. With another ``model.kind``,
            keys of the file's kind alone are dropped.

    Returns:
        The experiment, with every default filled in.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not TOML, a key is unknown, or a value or a combination is refused.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "missing"
        raise FileNotFoundError(f"{path}: experiment must be a TOML file, not {found}; see configs/ for examples")
    try:
        settings = tomllib.loads(path.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: experiment must be TOML in UTF-8, not {str(error)!r}; correct it there") from error
    unnamed = "name" not in settings
    settings.setdefault("name", path.stem)
    whole = deepcopy(settings)
    _override_all(whole, overrides)
    try:
        return Experiment.model_validate(whole)
    except ValidationError as error:
        if _is_valid(settings):  # so it is the overrides that are wrong
            raise ValueError(_refused_override(error)) from error
        more = " for the file, or set name in it" if unnamed and error.errors()[0]["loc"] == ("name",) else ""
        raise ValueError(f"{path}: {explain(error, Experiment)}{more}") from error


def _is_valid(settings: dict[str, Any]) -> bool:
    try:
        Experiment.model_validate(settings)
    except ValidationError:
        return False
    return True


def _refused_override(error: ValidationError) -> str:
    return f"--set: {explain(error, Experiment)}".replace(_REMEDIES["model_type"], "try --set train.epochs=3")


def changed(experiment: Experiment, overrides: Iterable[str]) -> Experiment:
    """Return an experiment with some of its settings overridden.

    Raises:
        ValueError: If a key is unknown, or a value or a combination is refused.

    >>> changed(Experiment(name="try"), ["train.epochs=3"]).train.epochs
    3
    """
    settings = experiment.model_dump(exclude_none=True)
    _override_all(settings, overrides)
    try:
        return Experiment.model_validate(settings)
    except ValidationError as error:
        raise ValueError(_refused_override(error)) from error


def named(experiment: Experiment, name: str) -> Experiment:
    """Return an experiment with another name.

    Raises:
        ValueError: If it cannot be a folder's.

    >>> named(Experiment(name="try"), "12").name
    '12'
    """
    try:
        return Experiment.model_validate({**experiment.model_dump(exclude_none=True), "name": name})
    except ValidationError as error:
        raise ValueError(f"--{explain(error, Experiment)}") from error


def override_key(override: str) -> str:
    """Return the key that an override names.

    >>> override_key("train.epochs = 3")
    'train.epochs'
    """
    return override.partition("=")[0].strip()


def value_at(experiment: Experiment, key: str) -> object:
    """Return the setting of a key; None where it has none.

    >>> value_at(Experiment(name="try"), "recipe.weight_bit_width"), value_at(Experiment(name="try"), "recipe.layers.x")
    (6, None)
    """
    found: object = experiment.model_dump()
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _override_all(settings: dict[str, Any], overrides: Iterable[str]) -> None:
    """Override settings in place; of a network of another kind than before, keys go that it would not look at."""
    overrides = tuple(overrides)
    model = settings.get("model")
    before = model.get("kind", ModelSettings().kind) if isinstance(model, dict) else ModelSettings().kind
    for override in overrides:
        _override(settings, override)
    keys = set(map(override_key, overrides))
    model = settings.get("model")
    if "model.kind" not in keys or not isinstance(model, dict):
        return
    if model["kind"] != before and "model.widths" not in keys and isinstance(model.get("widths"), dict):
        # The file's are of layers that the other network does not have, or has elsewhere
        model["widths"] = {name: width for name, width in model["widths"].items() if f"model.widths.{name}" in keys}
    for key, kinds in KINDS_OF.items():
        if model["kind"] in get_args(Kind) and model["kind"] not in kinds and f"model.{key}" not in keys:
            model.pop(key, None)


def _override(settings: dict[str, Any], override: str) -> None:
    _, equals, text = override.partition("=")
    parts = override_key(override).split(".")
    deepest = {"recipe.layers": 4, "model.widths": 3}.get(".".join(parts[:2]), 2)
    if not equals or not all(parts) or len(parts) > deepest:
        raise ValueError(f"--set: override must be section.key=value, not {override!r}; try --set train.epochs=3")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    value = parsed["value"] if list(parsed) == ["value"] else text.strip()
    table = settings
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ValueError(f"--set: {part} must be a section, not {shown(table)}; try --set train.epochs=3")
    table[parts[-1]] = value


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line on what is wrong, with the nearest valid name for an unknown key."""
    problems = error.errors()
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return _problem(problems[0], model) + more


def _problem(problem: ErrorDetails, model: type[BaseModel]) -> str:
    names = [str(part) for part in problem["loc"]]
    where, value = ".".join(names), problem["input"]
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"{where}: key must be a known one, not {names[-1]!r}; {_nearest(model, names, value)}"
    if kind == "value_error":
        text = problem["msg"].removeprefix("Value error, ")
        return f"{where}.{text}" if where else text
    rule = _RULES.get(kind) or problem["msg"].removeprefix("Input should be ")
    remedy = _REMEDIES.get(kind, "")
    return f"{where}: value must be {rule}, not {shown(value)}{remedy and '; '}{remedy}"


_RULES = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a section of keys",
    "string_pattern_mismatch": "a letter or digit, then letters, digits, '.', '_' and '-'",
    "string_too_short": "text",
    "string_type": "text",
    "too_short": "a list of one value or more",
    "tuple_type": "a list",
}
"""What a kind of pydantic's errors asks for, in the words of TOML; the other kinds' own words will do."""

_REMEDIES = {
    "model_type": "write [section] above its keys",
    "string_pattern_mismatch": "choose such a name",
    "string_type": "put it in quotes",
}


def _nearest(model: type[BaseModel], names: list[str], value: object) -> str:
    """Say which key may have been meant: of that section, of another, or any."""
    valid = _keys(model, names[:-1])
    near = difflib.get_close_matches(names[-1], valid, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    elsewhere = [f"{section}.{names[-1]}" for section in _keys(model, ()) if names[-1] in _keys(model, (section,))]
    if elsewhere and not isinstance(value, dict):
        return f"did you mean {elsewhere[0]!r}?"
    return f"the keys are {', '.join(valid)}"


def shown(value: object) -> str:
    """Return a setting as a message shows it.

    >>> shown(True), shown("digits"), shown((64, 32)), len(shown(list(range(99))))
    ('true', "'digits'", '[64, 32]', 60)
    """
    text = str(value).lower() if isinstance(value, bool) else repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(model: type[BaseModel], path: Iterable[str]) -> list[str]:
    section: object = model
    for name in path:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[name].annotation
        else:  # a section for each name
            section = get_args(section)[-1] if get_args(section) else None
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        return []
    model = section
    return list(model.model_fields)


def sections() -> dict[str, type[BaseModel]]:
    """Return each section's name and settings, in the order of a file.

    >>> list(sections())
    ['data', 'model', 'recipe', 'train', 'hls']
    """
    return {
        name: field.annotation
        for name, field in Experiment.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
