"""What `bitwright search` refuses before anything is scored, every message whole."""

from pathlib import Path

import pytest
from road import Bitwright


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--name", "digits_mlp_float"),
            "--name: run must be another than the float one, not digits_mlp_float; choose another name",
        ),
        (
            ("--name", "my run"),
            "--name: value must be a letter or digit, then letters, digits, '.', '_' and '-', not 'my run'; choose "
            "such a name",
        ),
        (
            ("--name", ""),
            "--name: value must be a letter or digit, then letters, digits, '.', '_' and '-', not ''; choose such a "
            "name",
        ),
        (
            ("--set", "recipe.weight_bit_width=4"),
            "--set: key must be of one layer in a search, not 'recipe.weight_bit_width', which no layer would heed; "
            "use --start-bit-width, or recipe.layers.NAME",
        ),
        (
            ("--set", "recipe.layers.fc0.weight_bit_width=1"),
            "recipe.layers.fc0.weight_bit_width: width must be 2 to 16 to calibrate, not 1; train networks of one bit, "
            "with `bitwright train`, or keep the batch norms, with `calibrate --no-fold` or `search --binary`",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_scored(
    arguments: tuple[str, ...], says: str, float_run: Path, bitwright: Bitwright
) -> None:
    before = (float_run / "checkpoint.safetensors").read_bytes()
    outcome = bitwright("search", float_run, "--runs-dir", float_run.parent, *arguments)
    assert (outcome.status, outcome.err) == (2, f"{says}\n")
    assert (float_run / "checkpoint.safetensors").read_bytes() == before
    assert not (float_run / "search").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--target-accuracy", "98.5"),
            "--target-accuracy: share must be above 0 and at most 1, not 98.5; write 0.985 for 98.5 %",
        ),
        (
            ("--max-accuracy-loss", "-0.1"),
            "--max-accuracy-loss: share must be from 0 to 1, not -0.1; write 0.003 for 0.3 points",
        ),
        (
            ("--target-accuracy", "0.9", "--max-bits", "4000"),
            "--max-bits: target must be the only one, not beside --target-accuracy; leave one out",
        ),
        (
            ("--binary", "--max-accumulator-bits", "16"),
            "--binary: weights of one bit must be wanted without --max-accumulator-bits, not with it; leave one out",
        ),
        (("--processes", "2"), "--processes: trials must be wanted with it, not none; add --trials 200"),
        (("--storage", "sqlite:///a.db"), "--storage: trials must be wanted with it, not none; add --trials 200"),
    ],
)
def test_targets_that_cannot_be_are_refused(
    arguments: tuple[str, ...], says: str, float_run: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("search", float_run, *arguments)
    assert (outcome.status, outcome.err) == (2, f"{says}\n")


def test_network_that_is_quantised_already_is_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("search", fixed_run)
    assert (outcome.status, outcome.err) == (
        2,
        "recipe.weight_bit_width: width must be 32 (float) to calibrate, not 6; train the float network first, as "
        "configs/mnist_lenet5_float.toml does\n",
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("--learn-epochs", "2"), ("--learn-widths", "per_channel")],
)
def test_options_of_learning_want_it(option: str, value: str, float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("search", float_run, option, value)
    says = f"{option}: learned widths must be wanted with it, not none; add --learn 6"
    assert (outcome.status, outcome.err) == (2, f"{says}\n")
