"""The integer program: the network as integers only, its executor, and the interval of every tensor."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod

import numpy as np
from threadpoolctl import ThreadpoolController

from bitwright.export.operations import Input, Integers, Linear, Operation, Tensor
from bitwright.quant.bipolar import Bipolar

CHUNK_VALUES = 500_000
"""Values that the largest tensor of one chunk may have: bounds the executor's memory at some 30 MB a thread, and keeps
what one operation hands to the next in cache."""
SHARED_VALUES = 50_000
"""Fewer values of the largest tensor are not worth a thread of their own."""


@cache
def _blas() -> ThreadpoolController:
    """Return what limits the threads of NumPy's BLAS; to look for it takes a thousand times as long as to use it."""
    return ThreadpoolController()


@cache
def _cores() -> int:
    """Return the machine's; the system is asked once: it takes as long as a small network."""
    return os.cpu_count() or 1


def threads() -> int:
    """Return how many chunks run side by side: as OMP_NUM_THREADS says, and at most one a core."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(_cores(), int(said)) if said.isdecimal() and int(said) else _cores()


def result_of(operation: Operation, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the result of an operation whose sources are among ``tensors``."""
    return operation.result([tensors[name] for name in operation.sources])


@dataclass(frozen=True, eq=False)
class Program:
    """Operations in the order of execution; the first is the input, the last gives the output.

    A program is a function on integers, and runs on every core, or as many as OMP_NUM_THREADS says:

    >>> from bitwright.export.operations import Dense, Input
    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> code = FixedPoint(4, 4)
    >>> dense = Dense("fc", "x", np.array([[1, 2], [3, -1]]), code, None)
    >>> program = Program((Input("x", "", (2,), code), dense))
    >>> program(np.array([[1, 2]]))
    array([[7, 0]])
    >>> program.tensors["fc"].format.ap_fixed
    'ap_fixed<6,6>'
    """

    operations: tuple[Operation, ...]

    @property
    def weighted(self) -> tuple[Linear, ...]:
        """The operations with weights of the network; those that add up the window of an average have none."""
        return tuple(each for each in self.operations if isinstance(each, Linear) and not each.only_adds)

    @property
    def weights(self) -> int:
        """How many weights there are; those that two operations share, as of both bits of a gate, count once."""
        return sum(operation.weight.size for operation in self._owners)

    @property
    def weight_bits(self) -> int:
        """Their bits, each at the width of its layer."""
        return sum(operation.weight.size * operation.weight_format.width for operation in self._owners)

    @property
    def _owners(self) -> tuple[Linear, ...]:
        """The operations with weights that none before them has."""
        owners: dict[object, Linear] = {}
        for each in self.weighted:
            owners.setdefault((each.weight_format, each.weight.shape, each.weight.tobytes()), each)
        return tuple(owners.values())

    @property
    def input(self) -> Input:
        """The first operation."""
        first = self.operations[0]
        assert isinstance(first, Input)
        return first

    @property
    def output(self) -> Tensor:
        """The last operation's result."""
        return self.tensors[self.operations[-1].name]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Shape, format and interval of every operation's result, by the operation's name."""
        tensors: dict[str, Tensor] = {}
        for operation in self.operations:
            tensors[operation.name] = result_of(operation, tensors)
        return tensors

    def __call__(self, codes: Integers, progress: Callable[[int], None] = lambda _: None) -> Integers:
        """Run the program.

        Args:
            codes: Input integers ``(N, *input.shape)``.
            progress: Called with the number of inputs done since the last call.

        Returns:
            Output integers ``(N, values)``.

        Raises:
            TypeError: If the codes are not integers.
            ValueError: If the shape is wrong, or a code lies outside the input's format.
        """
        self.check_input(codes)
        chunks = self._chunks(len(codes))
        if len(chunks) == 1:  # to start threads takes longer than many a network
            values = np.array(self._run(codes).reshape(len(codes), -1))  # not the codes themselves
            progress(len(values))
            return values
        result = np.empty((len(codes), prod(self.output.shape)), np.int64)
        # NumPy's BLAS would start as many threads again in each of these, which spin while they wait: four times slower
        with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(max_workers=threads()) as pool:
            for chunk, values in zip(chunks, pool.map(lambda part: self._run(codes[part]), chunks), strict=True):
                result[chunk] = values.reshape(len(values), -1)
                progress(len(values))
        return result

    def trace(self, codes: Integers) -> Iterator[tuple[str, Integers]]:
        """Yield every operation's name and result ``(N, *shape)``, in order."""
        self.check_input(codes)
        results: dict[str, Integers] = {}
        for operation in self.operations:
            results[operation.name] = self._step(operation, results, codes)
            yield operation.name, results[operation.name]

    def check_input(self, codes: Integers) -> None:
        """Refuse what the input port cannot carry."""
        if not np.issubdtype(codes.dtype, np.integer):
            raise TypeError(f"program: input must be integers, not {codes.dtype}; quantise it as interface.json says")
        if codes.shape[1:] != self.input.shape:
            raise ValueError(
                f"program: input must be of shape (N, {', '.join(map(str, self.input.shape))}), not {codes.shape}"
            )
        form = self.input.format
        outside = (codes < form.lowest) | (codes > form.highest)
        if isinstance(form, Bipolar):
            outside |= codes == 0
        if outside.any():
            range_ = "-1 or 1" if isinstance(form, Bipolar) else f"from {form.lowest} to {form.highest}"
            raise ValueError(
                f"program: input must be integers {range_}, not {int(codes[outside][0])}; "
                "quantise it as interface.json says"
            )

    def _chunks(self, inputs: int) -> list[slice]:
        largest = max(prod(tensor.shape) for tensor in self.tensors.values())
        share = max(-(-inputs // threads()), SHARED_VALUES // largest)
        size = max(1, min(CHUNK_VALUES // largest, share))
        return [slice(start, start + size) for start in range(0, inputs, size)]

    def _run(self, codes: Integers) -> Integers:
        results: dict[str, Integers] = {}
        last_use = {name: i for i, operation in enumerate(self.operations) for name in operation.sources}
        for i, operation in enumerate(self.operations):
            results[operation.name] = self._step(operation, results, codes)
            for name in operation.sources:
                if last_use[name] == i:
                    results.pop(name, None)
        return results[self.operations[-1].name]

    def _step(self, operation: Operation, results: dict[str, Integers], codes: Integers) -> Integers:
        if isinstance(operation, Input):
            return operation.run(codes.astype(np.int64, copy=False), operation.format)
        formats = [self.tensors[name].format for name in operation.sources]
        return operation.compute([results[name] for name in operation.sources], formats)
