"""The clamp of activations against Brevitas' own: values, gradients and trained networks, bit for bit."""

from collections.abc import Callable

import pytest
import torch
from brevitas.core.function_wrapper import TensorClamp
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bitwright.models.network import build
from bitwright.models.settings import ModelSettings
from bitwright.quant.clamp import Clamp
from bitwright.quant.recipe import Recipe


def clamped(clamp: nn.Module, x: Tensor, least: Tensor, most: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values and the gradient of ``x``, with what stands above them in training."""
    x = x.clone().requires_grad_()
    y = clamp(x, least, most)
    (gradient,) = torch.autograd.grad(y, x, above)
    return y, gradient


@given(
    least=st.integers(-9, 9),
    steps=st.integers(0, 9),
    power=st.integers(-40, 10),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
)
def test_values_and_gradients_are_brevitas_own(
    least: int, steps: int, power: int, seed: int, dtype: torch.dtype
) -> None:
    low, high = (torch.tensor(edge * 2.0**power) for edge in (least, least + steps))
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randint(-20, 21, (300,), generator=generator) * 2.0 ** (power - 1)).to(dtype)
    edges = torch.stack([low, high]).to(dtype)
    up, down = torch.full_like(edges, torch.inf), torch.full_like(edges, -torch.inf)
    x = torch.cat([x, edges, torch.nextafter(edges, up), torch.nextafter(edges, down), up, down])
    above = torch.randn(x.shape, generator=generator).to(dtype)
    ours = clamped(Clamp(), x, low, high, above)
    brevitas = clamped(TensorClamp(), x, low, high, above)
    assert ours[0].dtype == brevitas[0].dtype == dtype
    assert torch.equal(ours[0], brevitas[0])
    assert torch.equal(ours[1], brevitas[1])


def test_bounds_of_each_channel_are_brevitas_own() -> None:
    x, above = torch.randn(4, 3), torch.randn(4, 3)
    low, high = torch.tensor([-1.0, -0.5, 0.0]), torch.tensor([0.5, 1.0, 0.25])
    ours, brevitas = (clamped(clamp, x, low, high, above) for clamp in (Clamp(), TensorClamp()))
    assert torch.equal(ours[0], brevitas[0])
    assert torch.equal(ours[1], brevitas[1])


def test_bounds_that_training_learns_have_their_gradient() -> None:
    most = torch.tensor(1.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(Clamp()(torch.tensor([0.5, 2.0, 3.0]), torch.tensor(0.0), most).sum(), most)
    assert float(gradient) == 2


@pytest.mark.parametrize("bit_width", [1, 2])
def test_a_network_trains_to_the_same_weights_as_with_brevitas_own(
    bit_width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(forward: Callable[..., Tensor]) -> dict[str, Tensor]:
        calls: list[int] = []

        def counted(self: Clamp, x: Tensor, min_val: Tensor, max_val: Tensor) -> Tensor:
            calls.append(1)
            return forward(self, x, min_val, max_val)

        monkeypatch.setattr(Clamp, "forward", counted)
        torch.manual_seed(0)
        recipe = Recipe(weight_bit_width=bit_width, activation_bit_width=bit_width)
        network = build(ModelSettings(hidden=(16, 16)), recipe, (8,), 4).train()
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        steps = 30  # the scales of activations are learned from the 17th on
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(torch.randn(32, 8)), torch.randint(0, 4, (32,))).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        assert len(calls) == 3 * steps  # the input's quantiser and both activations
        return network.state_dict()

    ours = trained(Clamp.forward)
    brevitas = trained(lambda _, x, min_val, max_val: TensorClamp()(x, min_val, max_val))
    assert all(torch.equal(ours[key], brevitas[key]) for key in ours)
