"""Batch norms folded into the layers before them."""

from dataclasses import replace

import pytest
import torch
from float_networks import BY_NAME, CNN, LENET, MLP, float_network, images

from bitwright.calibration.fold import fold_batch_norms, layers_of_norms, unfoldable


@pytest.mark.parametrize("name", BY_NAME)
def test_folded_network_computes_the_same(name: str) -> None:
    description = BY_NAME[name]
    network = float_network(description, negative=name == "mlp")
    model = description.model.model_copy(update={"batch_norm": False})
    folded = replace(description, model=model).build().eval()
    folded.load_state_dict(fold_batch_norms(network))
    inputs = images(description, 50).double()
    with torch.no_grad():
        wanted, found = network.double()(inputs), folded.double()(inputs)
    # each weight and bias was rounded once, to 24 bits
    assert (wanted - found).abs().max() <= 1e-5 * wanted.abs().max()
    assert wanted.std() > 0


def test_network_itself_is_not_changed() -> None:
    network = float_network(MLP)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold_batch_norms(network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_layer_before_each_norm_is_found_through_the_pooling() -> None:
    found = layers_of_norms(float_network(LENET))
    assert found == {
        "norm1": ("conv1", True),
        "norm2": ("conv2", True),
        "norm3": ("fc1", False),
        "norm4": ("fc2", False),
    }


def test_negative_factor_behind_a_maximum_is_refused() -> None:
    network = float_network(CNN, negative=True)
    assert unfoldable(network) == ["norm"]
    with pytest.raises(ValueError) as refusal:
        fold_batch_norms(network)
    assert str(refusal.value) == (
        "norm: batch norm must have no negative factor to be folded through a max pooling, but it has; calibrate with "
        "--no-fold"
    )
