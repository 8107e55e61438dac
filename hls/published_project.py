"""The network in an hls4ml project of dense layers, whoever wrote it: numbers and types, read from its C++ sources."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bitwright.export.operations import Integers
from bitwright.quant.fixed_point import FixedPoint, parse_ap_fixed

CALL = re.compile(r"nnet::(?P<function>\w+)\s*(?:<(?P<types>[^()]*)>)?\s*\((?P<arguments>[^()]*)\)\s*;")
"""A call of hls4ml's C++ library, a statement of its own."""

ASIDE = ("load_weights_from_txt", "load_exponent_weights_from_txt", "save_layer_output")
"""Calls of the C simulation that compute nothing."""

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TYPEDEF = re.compile(r"typedef\s+(?P<type>[^;{}]+?)\s+(?P<name>\w+)\s*;")
_DEFINE = re.compile(r"#define\s+(?P<name>\w+)\s+(?P<value>\d+)\s*$", re.MULTILINE)
_ARRAY = re.compile(r"(?P<type>\w+)\s+(?P<name>\w+)\s*\[[^\]]*\]\s*=\s*\{(?P<values>[^}]*)\}")
_CONFIG = r"struct\s+{name}\s*:[^{{]*\{{(?P<body>.*?)\n\}};"
_TOP = re.compile(r"void\s+(?P<name>\w+)\s*\((?P<ports>[^)]*)\)\s*\{(?P<body>.*)\}", re.DOTALL)
_PORT = re.compile(r"(?P<type>\w+)\s+(?P<name>\w+)\s*\[(?P<size>\w+)\]")


@dataclass(frozen=True, eq=False)
class PublishedDense:
    """A dense layer, and the ReLU behind it.

    Args:
        name: Of its weights, as "w2".
        weight: Codes ``(inputs, outputs)``.
        bias: Codes ``(outputs,)``.
        weight_format: Of the weights.
        bias_format: Of the biases.
        accumulator: What every product is cast to before it is added.
        result: What the sum is cast to.
        activation: What a ReLU casts to, or None where none follows.
        strategy: As the sources spell it, as "latency".
        reuse_factor: Times each multiplier is used.
    """

    name: str
    weight: Integers
    bias: Integers
    weight_format: FixedPoint
    bias_format: FixedPoint
    accumulator: FixedPoint
    result: FixedPoint
    activation: FixedPoint | None
    strategy: str
    reuse_factor: int

    @property
    def output(self) -> FixedPoint:
        """Of the values that it hands on."""
        return self.activation or self.result


@dataclass(frozen=True, eq=False)
class PublishedProject:
    """The network of a project, without the softmax that it may end in.

    Args:
        top: Name of the top function.
        input: Of the values that come in.
        layers: In order.
        softmax: Whether a softmax follows.
    """

    top: str
    input: FixedPoint
    layers: tuple[PublishedDense, ...]
    softmax: bool

    def __call__(self, codes: Integers) -> Integers:
        """Return the codes before the softmax ``(N, outputs)``, as hls4ml's C++ has them.

        Every product is cast to the type of the accumulator before it is added: what lies below its step is cut off
        product by product. Nothing else sets this apart from exact sums, but for sums out of range, which wrap.

        Args:
            codes: Input codes ``(N, inputs)``.

        Source: hls4ml, `nnet_utils/nnet_dense_latency.h`.
        """
        form = self.input
        for layer in self.layers:
            fractional = form.fractional + layer.weight_format.fractional
            total = np.repeat(layer.accumulator.cast(layer.bias, layer.bias_format.fractional)[None], len(codes), 0)
            for index, row in enumerate(layer.weight):  # one input at a time: (N, outputs)
                total += layer.accumulator.cast(codes[:, index, None] * row, fractional)
            codes = layer.result.cast(layer.accumulator.overflowed(total), layer.accumulator.fractional)
            if layer.activation is not None:
                codes = layer.activation.cast(np.maximum(codes, 0), layer.result.fractional)
            form = layer.output
        return codes


def read_published(folder: Path) -> PublishedProject:
    """Read the network of a project.

    Args:
        folder: Holds ``firmware/`` with one top function, ``parameters.h``, ``defines.h`` and ``weights/*.h``.

    Raises:
        ValueError: If it is another folder, another kind of network, or damaged.

    >>> read_published(Path("nowhere"))
    Traceback (most recent call last):
    ValueError: nowhere: folder must be an hls4ml project, not one without firmware/parameters.h; name the project's own
    """
    firmware = folder / "firmware"
    if not (firmware / "parameters.h").is_file():
        raise ValueError(
            f"{folder}: folder must be an hls4ml project, not one without firmware/parameters.h; name the project's own"
        )
    return _Reader(firmware).project()


def top_source(firmware: Path) -> Path:
    """Return the file of the top function.

    Raises:
        ValueError: If there is not one.
    """
    found = sorted(firmware.glob("*.cpp"))
    if len(found) != 1:
        raise ValueError(f"{firmware}: folder must hold one .cpp file, the top function's, not {len(found)}; check it")
    return found[0]


def plain_text(path: Path) -> str:
    """Return a source without its comments.

    Raises:
        ValueError: If it is not there, or no text.
    """
    try:
        return _COMMENT.sub("", path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: source must be a text file, not missing or binary; fetch it again") from error


class _Reader:
    """What a project's sources say."""

    def __init__(self, firmware: Path) -> None:
        self.firmware = firmware
        self.source = top_source(firmware)
        self.parameters = plain_text(firmware / "parameters.h")
        defines = firmware / "defines.h"
        text = (plain_text(defines) if defines.is_file() else "") + self.parameters
        self.types = {found["name"]: found["type"] for found in _TYPEDEF.finditer(text)}
        self.sizes = {found["name"]: int(found["value"]) for found in _DEFINE.finditer(text)}

    def project(self) -> PublishedProject:
        found = _TOP.search(plain_text(self.source))
        ports = [] if found is None else [port.groupdict() for port in _PORT.finditer(found["ports"])]
        if found is None or len(ports) != 2:
            raise ValueError(
                f"{self.source}: top function must have an array in and one out, not other ports; "
                "projects of io_stream and of several inputs cannot be read"
            )
        form = self.format(ports[0]["type"])
        layers: list[PublishedDense] = []
        softmax, at = False, ports[0]["name"]
        for call in CALL.finditer(found["body"]):
            if call["function"] in ASIDE:
                continue
            arguments = [text.strip() for text in call["arguments"].split(",")]
            types = [text.strip() for text in (call["types"] or "").split(",")]
            if softmax or arguments[0] != at or len(types) != 3:
                raise ValueError(
                    f"{self.source}: layers must follow one another up to a softmax, not branch as "
                    f"{call['function']}({call['arguments']}) does; only such networks can be read"
                )
            at = arguments[1]
            match call["function"]:
                case "dense":
                    layers.append(self.dense(types, arguments[2:]))
                case "relu" if layers and layers[-1].activation is None:
                    layers[-1] = replace(layers[-1], activation=self.format(types[1]))
                case "linear" if layers and self.format(types[1]) == layers[-1].output:
                    pass
                case "softmax" if layers:
                    softmax = True
                case function:
                    raise ValueError(
                        f"{self.source}: layers must be dense, each with a ReLU or none, and a softmax, not "
                        f"{function}; only such networks can be read"
                    )
        if not layers:
            raise ValueError(f"{self.source}: network must have a dense layer, not none; it is of another kind")
        return PublishedProject(found["name"], form, tuple(layers), softmax)

    def dense(self, types: list[str], constants: list[str]) -> PublishedDense:
        config = re.search(_CONFIG.format(name=re.escape(types[2])), self.parameters, re.DOTALL)
        if config is None:
            raise ValueError(f"{self.firmware / 'parameters.h'}: file must hold {types[2]}, not leave it out; check it")
        fields = dict(re.findall(r"static const \w+ (\w+) = ([^;]+);", config["body"]))
        named = {found["name"]: found["type"] for found in _TYPEDEF.finditer(config["body"])}
        inputs, outputs = (self.size(fields, types[2], name) for name in ("n_in", "n_out"))
        (weight, weight_format), (bias, bias_format) = (self.constant(name) for name in constants[:2])
        for name, values, count in ((constants[0], weight, inputs * outputs), (constants[1], bias, outputs)):
            if len(values) != count:
                raise ValueError(
                    f"{self.header(name)}: array must hold {count} numbers, as {types[2]} says, not {len(values)}; "
                    "fetch it again"
                )
        return PublishedDense(
            name=constants[0],
            weight=weight.reshape(inputs, outputs),
            bias=bias,
            weight_format=weight_format,
            bias_format=bias_format,
            accumulator=self.format(named.get("accum_t", "")),
            result=self.format(types[1]),
            activation=None,
            strategy=fields.get("strategy", "").removeprefix("nnet::"),
            reuse_factor=self.size(fields, types[2], "reuse_factor"),
        )

    def size(self, fields: Mapping[str, str], config: str, name: str) -> int:
        text = fields.get(name, "").strip()
        found = self.sizes.get(text, int(text) if text.isdecimal() else None)
        if found is None:
            raise ValueError(
                f"{self.firmware / 'parameters.h'}: {config}.{name} must be a number, not {text!r}; check it"
            )
        return found

    def format(self, name: str) -> FixedPoint:
        """Return the type behind a name, or behind a name that that stands for."""
        text, seen = name, set[str]()
        while text in self.types and text not in seen:
            seen.add(text)
            text = self.types[text]
        try:
            return parse_ap_fixed(re.sub(r",\s*0\s*>$", ">", text))
        except ValueError as error:
            raise ValueError(
                f"{self.firmware / 'defines.h'}: type {name!r} must be an ap_fixed or ap_int, not {text!r}; "
                "only such networks of io_parallel can be read"
            ) from error

    def header(self, name: str) -> Path:
        return self.firmware / "weights" / f"{name}.h"

    def constant(self, name: str) -> tuple[Integers, FixedPoint]:
        """Return codes and type of an array of weights."""
        path = self.header(name)
        found = _ARRAY.search(plain_text(path))
        if found is None or found["name"] != name:
            raise ValueError(f"{path}: header must hold the numbers of {name}, not leave them out; fetch it again")
        form = self.format(found["type"])
        try:
            steps = np.array([float(text) for text in found["values"].split(",")]) / form.step
        except ValueError as error:
            raise ValueError(f"{path}: array must hold numbers alone, not {error}; fetch it again") from error
        codes = np.rint(steps)
        # Long fractions are printed with the digits that hls4ml was asked for: nearer to their code than to another
        off = np.abs(steps - codes) > 0.25
        if off.any() or not form.holds(int(codes.min()), int(codes.max())):
            bad = float((steps * form.step)[off if off.any() else (codes < form.lowest) | (codes > form.highest)][0])
            raise ValueError(f"{path}: numbers must be of {form.ap_fixed}, not {bad!r}; the files are of two projects")
        return codes.astype(np.int64), form
