"""Batch norms of a float network folded into the layers before them. Imports torch."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

from bitwright.models.batch_norm import BatchNorm

Weighted = nn.Linear | nn.Conv2d

PASSED = (nn.MaxPool2d,)
"""What may stand between a layer and its batch norm, if no factor is negative: the maximum stays where it was."""

UNCHANGED = (nn.Identity, nn.Dropout, nn.Flatten)
"""What may stand there anyway."""


class _Tracer(fx.Tracer):
    """Leaves every module that has none of its own as it is."""

    def is_leaf_module(self, module: nn.Module, _: str) -> bool:
        return not any(module.children())


def traced(network: nn.Module) -> fx.GraphModule:
    """Return the network as a graph of its modules, which it shares with it."""
    return fx.GraphModule(network, _Tracer().trace(network))


def layers_of_norms(network: nn.Module) -> dict[str, tuple[str, bool]]:
    """Return the layer before each batch norm, and whether a maximum is taken between the two.

    Raises:
        ValueError: If a batch norm has another thing before it.

    >>> from bitwright.models.lenet5 import LeNet5
    >>> from bitwright.models.settings import ModelSettings
    >>> from bitwright.quant.recipe import Recipe
    >>> layers_of_norms(LeNet5((1, 28, 28), 10, Recipe.floating(), ModelSettings(kind="lenet5")))["norm3"]
    ('fc1', False)
    """
    graph = traced(network)
    modules = dict(graph.named_modules())
    found = {}
    for node in graph.graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.modules.batchnorm._BatchNorm):
            layer, pooled = "", False
            for name in _before(node):
                module = modules.get(name)
                pooled |= isinstance(module, PASSED)
                if isinstance(module, Weighted):
                    layer = name
                if not isinstance(module, (*PASSED, *UNCHANGED)):
                    break
            if not layer:
                raise ValueError(
                    f"{node.target}: batch norm must stand behind a dense layer or a convolution to be folded, not "
                    "behind something else; calibrate with --no-fold"
                )
            found[str(node.target)] = (layer, pooled)
    return found


def _before(node: fx.Node) -> Iterator[str]:
    """Yield the modules before a node, as long as each feeds only the next."""
    while node.all_input_nodes:
        (node, *others) = node.all_input_nodes
        if others or len(node.users) > 1 or node.op != "call_module":
            return
        yield str(node.target)


def unfoldable(network: nn.Module) -> list[str]:
    """Return the batch norms with a negative factor behind a maximum: folded, the maximum would be another value's."""
    return [
        norm
        for norm, (_, pooled) in layers_of_norms(network).items()
        if pooled and bool((_affine(network.get_submodule(norm))[0] < 0).any())
    ]


def fold_batch_norms(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of the network without batch norms that computes the same.

    ``(w x) * factor + offset = (w * factor) x + offset``, in double precision, rounded once.

    Args:
        network: Float, in eval mode; it is not changed.

    Returns:
        ``weight`` and ``bias`` of every layer, by their names.

    Raises:
        ValueError: If a batch norm cannot be folded (see `unfoldable`).
    """
    refused = unfoldable(network)
    if refused:
        raise ValueError(
            f"{refused[0]}: batch norm must have no negative factor to be folded through a max pooling, but it has; "
            "calibrate with --no-fold"
        )
    norms = {layer: norm for norm, (layer, _) in layers_of_norms(network).items()}
    state: dict[str, torch.Tensor] = {}
    for name, module in network.named_modules():
        if not isinstance(module, Weighted):
            continue
        weight = module.weight.detach().double()
        bias = torch.zeros(len(weight)).double() if module.bias is None else module.bias.detach().double()
        if name in norms:
            factor, offset = _affine(network.get_submodule(norms[name]))
            weight = weight * factor.reshape(-1, *[1] * (weight.dim() - 1))
            bias = bias * factor + offset
        elif module.bias is None:
            state[f"{name}.weight"] = weight.float()
            continue
        state[f"{name}.weight"], state[f"{name}.bias"] = weight.float(), bias.float()
    return state


def _affine(norm: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401 - a module by its name
    assert isinstance(norm, BatchNorm)
    scale, offset = norm.affine_parameters()
    return scale.detach().double(), offset.detach().double()
