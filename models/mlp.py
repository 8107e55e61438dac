"""The multi-layer perceptron: dense, batch norm, activation, and again.

References: Umuroglu et al., FINN, arXiv:1612.07119 (SFC, LFC); FINN's bnn_pynq examples (TFC, 64 wide).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.tensor_train import TensorTrain, TensorTrainDense, TensorTrainRule, contracted
from bitwright.quant.brevitas_layers import activation_of, dense, input_quantizer
from bitwright.quant.recipe import LEFT_OUT, Position, Recipe

NO_TRAINS = TensorTrainRule()


class MLP(nn.Module):
    """Dense layers, from a flat or an image input to one score a class.

    Args:
        in_features: Values of one input.
        hidden: Width of each hidden layer.
        classes: Scores.
        recipe: Widths of input, weights and activations; float, fixed point and binary are the same network.
        batch_norm: Whether a batch norm stands before each activation. Then the hidden layers have no bias.
        own_widths: Of hidden layers by their names, where they are not those of ``hidden``.
        input_range: Smallest and largest value of the input.
        tensor_trains: Which hidden layers are tensor trains: they have layers ``fc1_core0``, ``fc1_core1``, ... instead
            of ``fc1``.

    Attributes:
        cores: Names of the layers that are cores of tensor trains.

    Raises:
        ValueError: If a layer that the recipe leaves out changes the number of values, or a layer cannot be a tensor
            train, or none is to be one.

    >>> import torch
    >>> MLP(64, (16,), 10, Recipe()).eval()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        classes: int,
        recipe: Recipe,
        *,
        batch_norm: bool = True,
        own_widths: Mapping[str, int] = MappingProxyType({}),
        input_range: tuple[float, float] = (0.0, 1.0),
        tensor_trains: TensorTrainRule = NO_TRAINS,
    ) -> None:
        super().__init__()
        self.input = input_quantizer(recipe, *input_range)
        self.flatten = nn.Flatten()
        self.hidden_layers = len(hidden)
        widths = [in_features, *(own_widths.get(f"fc{i}", width) for i, width in enumerate(hidden))]
        self.cores: tuple[str, ...] = ()
        self._trains: dict[int, TensorTrain] = {}
        for i in range(len(hidden)):
            position: Position = "first" if i == 0 else "middle"
            layer = recipe.layer(f"fc{i}", position)
            train = tensor_trains.train_of(f"fc{i}", widths[i], widths[i + 1])
            if train is not None:
                self._trains[i] = train
                layer = self._add_train(i, recipe, position, tensor_trains)
                setattr(self, f"norm{i}", BatchNorm(widths[i + 1]))
                setattr(self, f"act{i}", activation_of(layer))
                continue
            if layer.weight_bit_width == LEFT_OUT:
                _check_left_out(f"fc{i}", widths[i], widths[i + 1])
                continue
            setattr(self, f"fc{i}", dense(layer, widths[i], widths[i + 1], bias=not batch_norm))
            setattr(self, f"norm{i}", BatchNorm(widths[i + 1]) if batch_norm else nn.Identity())
            setattr(self, f"act{i}", activation_of(layer))
        if tensor_trains.rank and not self._trains:
            raise ValueError(
                f"model.tensor_train_rank: value must be 0 where no hidden layer has {tensor_trains.least} values on "
                f"both sides, not {tensor_trains.rank}; lower model.tensor_train_least"
            )
        layer = recipe.layer("out", "last")
        binary = layer.weight_bit_width == 1
        self.out = dense(layer, widths[-1], classes, bias=not binary)
        # Scores of 1-bit weights are whole numbers, far too large for a softmax: a batch norm scales them, on the host.
        self.out_norm = BatchNorm(classes) if binary and batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_features)`` or ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self.flatten(self.input(x))  # (N, in_features)
        for i in range(self.hidden_layers):
            if i in self._trains:
                x = contracted(x, self._trains[i], [getattr(self, name) for name in self._parts(i)])  # (N, hidden[i])
            elif hasattr(self, f"fc{i}"):
                x = getattr(self, f"fc{i}")(x)  # (N, hidden[i])
            else:
                continue
            x = getattr(self, f"act{i}")(getattr(self, f"norm{i}")(x))
        return self.out_norm(self.out(x))  # type: ignore[no-any-return]

    def _add_train(self, index: int, recipe: Recipe, position: Position, rule: TensorTrainRule) -> Recipe:
        """Add the cores of a tensor train and what is between them; return the recipe of the last core."""
        train = self._trains[index]
        names = [f"fc{index}_core{core}" for core in range(len(train.cores))]
        for name in names:
            if recipe.layer(name, position).weight_bit_width == LEFT_OUT:
                raise ValueError(
                    f"recipe.layers.{name}.weight_bit_width: width must be 1 to 16 for a core of a tensor train, not "
                    "0; the other cores need it"
                )
        last = recipe.layer(names[-1], position)
        layers = [*(rule.recipe_of(recipe, name, position) for name in names[:-1]), last]
        for name, part in zip(self._parts(index), TensorTrainDense(train, layers).parts(), strict=True):
            setattr(self, name, part)
        self.cores += tuple(names)
        return last

    def _parts(self, index: int) -> list[str]:
        """Return the names of a train's cores, and of the quantisers between them, in the order of computing."""
        cores = len(self._trains[index].cores)
        names = [f"fc{index}_{part}{core}" for core in range(cores) for part in ("core", "carried")]
        return names[:-1]


def _check_left_out(name: str, inputs: int, outputs: int) -> None:
    """Refuse to leave out what changes the number of values."""
    if inputs != outputs:
        raise ValueError(
            f"recipe.layers.{name}.weight_bit_width: width must be 1 to 16 for a layer from {inputs} to {outputs} "
            "values, not 0; only one with as many outputs as inputs can be left out"
        )
