"""Dense layers whose weights are tensor trains: one large matrix as a chain of small ones.

With the inputs numbered by ``(i1, ..., id)`` and the outputs by ``(j1, ..., jd)``, the weight is

    W[j1 ... jd, i1 ... id] = sum over a1 ... of G1[j1, i1, a1] G2[a1, j2, i2, a2] ... Gd[ad-1, jd, id]

and is never multiplied out: each core is an ordinary dense layer, applied to every position of the others' axes.

References: Oseledets, Tensor-train decomposition, 2011; Novikov et al., Tensorizing neural networks, arXiv:1509.06569.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn

from bitwright.quant.brevitas_layers import dense
from bitwright.quant.carried import signed_activation_of
from bitwright.quant.recipe import Position, Recipe

NEGLIGIBLE = 1e-7
"""Root of a singular value, relative to the largest, below which it is rounding."""

SMALLEST = torch.finfo(torch.float64).tiny


@dataclass(frozen=True)
class TensorTrain:
    """The shape of a tensor train.

    Args:
        inputs: Factors of the number of inputs, ``n1 ... nd``.
        outputs: Factors of the number of outputs, ``m1 ... md``.
        ranks: Of what joins each core to the next, ``r1 ... rd-1``.

    >>> TensorTrain(inputs=(28, 28), outputs=(32, 32), ranks=(8,)).weights
    14336
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ranks: tuple[int, ...]

    @property
    def cores(self) -> tuple[tuple[int, int, int, int], ...]:
        """Shapes ``(rank before, outputs, inputs, rank behind)`` in the order of computing: the last factor's first."""
        bonds = (1, *self.ranks, 1)
        return tuple(zip(bonds, self.outputs, self.inputs, bonds[1:], strict=False))[::-1]

    @property
    def weights(self) -> int:
        """Weights of all cores."""
        return sum(prod(core) for core in self.cores)


def factors(size: int, count: int) -> tuple[int, ...]:
    """Return ``count`` factors of a size, each above 1, rising, as near to one another as they can be.

    Returns:
        Those of the least sum; none where there are not so many.

    >>> factors(784, 2), factors(1024, 3), factors(257, 2)
    ((28, 28), (8, 8, 16), ())
    """
    if count == 1:
        return (size,)
    found: list[tuple[int, ...]] = []
    for first in range(2, int(size ** (1 / count) + 1e-9) + 1):
        if size % first == 0:
            rest = factors(size // first, count - 1)
            if rest and rest[0] >= first:
                found.append((first, *rest))
    return min(found, key=sum, default=())


def tensor_train(name: str, inputs: int, outputs: int, rank: int, cores: int = 2) -> TensorTrain:
    """Return the shape of the train that takes a dense layer's place.

    Args:
        name: Of the layer, for errors.
        inputs: Values of one input.
        outputs: Values of one output.
        rank: Of every bond; where less is already full, less.
        cores: Of the train.

    Raises:
        ValueError: If a size has not so many factors, or every bond would have less than the rank.

    >>> tensor_train("fc0", 784, 1024, rank=8)
    TensorTrain(inputs=(28, 28), outputs=(32, 32), ranks=(8,))
    """
    for size in (inputs, outputs):
        if not factors(size, cores):
            raise ValueError(
                f"{name}: values must be a product of {cores} numbers above 1 for a tensor train, not {size}; choose "
                "another width in model.hidden, or raise model.tensor_train_least above it"
            )
    ins, outs = factors(inputs, cores), factors(outputs, cores)
    each = [n * m for n, m in zip(ins, outs, strict=True)]
    full = [min(prod(each[:bond]), prod(each[bond:])) for bond in range(1, cores)]
    if rank > max(full):
        raise ValueError(
            f"{name}: rank must be at most {max(full)} for a tensor train from {inputs} to {outputs} values, not "
            f"{rank}; lower model.tensor_train_rank"
        )
    return TensorTrain(ins, outs, tuple(min(rank, most) for most in full))


@dataclass(frozen=True)
class TensorTrainRule:
    """Which dense layers are tensor trains.

    Args:
        rank: Of every bond at most; 0: no layer is.
        cores: Of each train.
        least: Values that a layer has on both sides to be one.
        bit_width: Of what goes from core to core, where the recipe is not float and does not name the core.
    """

    rank: int = 0
    cores: int = 2
    least: int = 256
    bit_width: int = 8

    def train_of(self, name: str, inputs: int, outputs: int) -> TensorTrain | None:
        """Return the shape of a layer's train; none for an ordinary layer.

        Raises:
            ValueError: If its values cannot be factorised, or the rank is too high.

        >>> TensorTrainRule(rank=4).train_of("out", 1024, 10) is None
        True
        """
        if not self.rank or min(inputs, outputs) < self.least:
            return None
        return tensor_train(name, inputs, outputs, self.rank, self.cores)

    def recipe_of(self, recipe: Recipe, name: str, position: Position) -> Recipe:
        """Return the recipe of a core behind which another stands.

        >>> layer = TensorTrainRule(rank=4).recipe_of(Recipe(activation_bit_width=2), "fc1_core0", "middle")
        >>> layer.activation_bit_width
        8
        """
        layer, own = recipe.layer(name, position), recipe.layers.get(name)
        if recipe.is_float or (own is not None and own.activation_bit_width is not None):
            return layer
        return layer.model_copy(update={"activation_bit_width": self.bit_width})


def contracted(x: Tensor, train: TensorTrain, parts: Sequence[nn.Module]) -> Tensor:
    """Return what a tensor train makes of its inputs, core by core.

    Args:
        x: ``(N, n1 * ... * nd)``.
        train: The shape.
        parts: The cores as dense layers from ``n * r`` to ``r' * m`` values, and between two of them what quantises the
            results of the first: core, quantiser, core, ...

    Returns:
        ``(N, m1 * ... * md)``.
    """
    size = prod(train.inputs)
    for i, (before, outputs, inputs, behind) in enumerate(train.cores):
        positions = size // (inputs * behind)
        x = parts[2 * i](x.reshape(-1, positions, inputs * behind))  # (N, P, r' * m)
        if 2 * i + 1 < len(parts):
            x = parts[2 * i + 1](x)
        x = x.reshape(-1, positions * before, outputs).transpose(1, 2)  # (N, m, P * r')
        size = positions * before * outputs
    return x.reshape(-1, size)


class TensorTrainDense(nn.Module):
    """A dense layer ``(N, n1 * ... * nd) -> (N, m1 * ... * md)`` whose weight is a tensor train.

    ``core0`` is computed first: that of the last factors. Each core has quantised weights of its own, and behind each
    but the last, ``carried0`` ... quantise what goes on to the next: signed, on a power-of-two scale of their own, with
    no ReLU; of one bit the sign; in float nothing. There is no bias: a batch norm follows.

    The weights begin uniform, of such a variance ``v`` that the product has that of an ordinary dense layer,
    ``1 / (3 n)``: an element of it is a sum of ``r1 * ... * rd-1`` products of ``d`` independent weights, so that
    ``v**d * r1 * ... * rd-1 = 1 / (3 * n1 * ... * nd)``.

    Args:
        train: The shape.
        layers: For each core the bits of its weights and of what stands behind it (see `Recipe.layer`).

    >>> layer = TensorTrainDense(TensorTrain((2, 3), (4, 5), (2,)), [Recipe.floating()] * 2)
    >>> layer(torch.ones(7, 6)).shape
    torch.Size([7, 20])
    """

    def __init__(self, train: TensorTrain, layers: Sequence[Recipe]) -> None:
        super().__init__()
        self.train_shape = train
        bound = (3 ** (len(train.cores) - 1) / (prod(train.inputs) * prod(train.ranks))) ** (1 / (2 * len(train.cores)))
        for i, (layer, (before, outputs, inputs, behind)) in enumerate(zip(layers, train.cores, strict=True)):
            core = dense(layer, inputs * behind, before * outputs, bias=False)
            nn.init.uniform_(core.weight, -bound, bound)  # type: ignore[arg-type]  # the variance is bound**2 / 3
            setattr(self, f"core{i}", core)
            if i < len(train.cores) - 1:
                setattr(self, f"carried{i}", signed_activation_of(layer))

    @classmethod
    def from_dense(cls, weight: Tensor, rank: int, layers: Sequence[Recipe]) -> Self:
        """Return the train of a rank that is near to a dense layer's weight, as a start.

        Args:
            weight: ``(M, N)``.
            rank: Of every bond at most.
            layers: As above; as many as there are to be cores.

        Raises:
            ValueError: If a size has not so many factors, or the rank is above the full one.

        >>> weight = torch.arange(36.0).reshape(6, 6)
        >>> train = TensorTrainDense.from_dense(weight, 2, [Recipe.floating()] * 2)
        >>> torch.allclose(train.matrix(), weight, atol=1e-4)
        True
        """
        outputs, inputs = weight.shape
        made = cls(tensor_train("weight", inputs, outputs, rank, len(layers)), layers)
        with torch.no_grad():
            cores: list[Any] = made.parts()[::2]
            for core, values in zip(cores, decomposed(weight, made.train_shape), strict=True):
                core.weight.copy_(values)
        return made

    def parts(self) -> list[nn.Module]:
        """Return the cores, and the quantisers between them."""
        return list(self.children())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, n1 * ... * nd)`` to ``(N, m1 * ... * md)``."""
        return contracted(x, self.train_shape, self.parts())

    def matrix(self) -> Tensor:
        """Return the weight ``(M, N)`` that the cores stand for; quantised ones by their quantised weights."""
        cores: list[Any] = self.parts()[::2]
        weights = [core.quant_weight().value if hasattr(core, "quant_weight") else core.weight for core in cores]
        return multiplied_out([weight.detach() for weight in weights], self.train_shape)


def multiplied_out(weights: Sequence[Tensor], train: TensorTrain) -> Tensor:
    """Return the matrix ``(M, N)`` of a tensor train.

    Args:
        weights: Of each core ``(r' * m, n * r)``, in the order of computing.
        train: The shape.
    """

    def joined(left: Tensor, right: Tensor) -> Tensor:
        both = torch.einsum("mnr,rjis->mjnis", left, right)
        return both.reshape(left.shape[0] * right.shape[1], left.shape[1] * right.shape[2], right.shape[3])

    cores = [weight.reshape(core) for weight, core in zip(weights, train.cores, strict=True)][::-1]
    return reduce(joined, cores[1:], cores[0][0])[:, :, 0]


def decomposed(weight: Tensor, train: TensorTrain) -> list[Tensor]:
    """Return cores ``(r' * m, n * r)``, in the order of computing, whose product is near to a matrix.

    Each singular value is split between the two cores that it joins, so that neither has all of the range.

    Args:
        weight: ``(M, N)``.
        train: The shape.

    Source: Oseledets, Tensor-train decomposition, 2011, algorithm 1 (TT-SVD), from the last core on.
    """
    count = len(train.inputs)
    rest = weight.detach().double().reshape(*train.outputs, *train.inputs)
    rest = rest.permute([axis for k in range(count) for axis in (k, count + k)])  # (m1, n1, m2, n2, ...)
    cores: list[Tensor] = []
    split = torch.ones(1, dtype=torch.float64)  # of the bond behind the core
    for before, outputs, inputs, behind in train.cores[:-1]:
        u, s, v = torch.linalg.svd(rest.reshape(-1, outputs * inputs * behind), full_matrices=False)
        root = s[:before].sqrt()
        values = v[:before].reshape(before, outputs, inputs, behind) * root.reshape(-1, 1, 1, 1) / split
        cores.append(values)
        rest, split = u[:, :before] * s[:before], root.clamp_min(max(NEGLIGIBLE * float(root[0]), SMALLEST))
    cores.append(rest.reshape(train.cores[-1]) / split)
    return [core.reshape(core.shape[0] * core.shape[1], -1).to(weight.dtype) for core in cores]
