"""The third way of `make bench-calibration`: a teacher, a float network that learned from it, 4 bits that learn on."""

from pathlib import Path

import pytest

from bitwright.cli.benchmark_calibration import TEACHERS, taught
from bitwright.cli.benchmark_origins import CONFIGS
from bitwright.cli.experiment import read


@pytest.mark.parametrize("config", TEACHERS)
def test_teacher_is_a_larger_float_network_of_the_same_data(config: str) -> None:
    student, teacher = (read(CONFIGS / f"{name}.toml") for name in (config, TEACHERS[config]))
    assert student.recipe.is_float
    assert teacher.recipe.is_float
    assert student.data == teacher.data
    assert teacher.model.channel_multiplier > student.model.channel_multiplier


def test_four_bits_start_from_the_calibrated_network_and_learn_from_the_teacher(tmp_path: Path) -> None:
    config = CONFIGS / "digits_mlp_float.toml"
    alone, calibrated, last = taught(config, "digits_mlp_float", 2, tmp_path, None, 3)
    assert [figure.how for figure in (alone, calibrated, last)] == [
        "float, with a teacher",
        "that, PTQ 4 bit, learned rounding, per channel",
        "that, QAT of 3 epochs with the teacher",
    ]
    assert {(figure.data, figure.seed, figure.different) for figure in (alone, calibrated, last)} == {("digits", 2, 0)}
    assert [figure.compared for figure in (alone, calibrated, last)] == [0, 3 * 3600, 3 * 3600]
    assert len({round(figure.accuracy + figure.loss / 100, 6) for figure in (alone, calibrated, last)}) == 1
    teacher = str(tmp_path / "digits_mlp_float" / "checkpoint.safetensors")
    floating = read(tmp_path / "digits_mlp_float_taught_s2" / "experiment.toml")
    assert (floating.train.teacher, floating.seed, floating.recipe.is_float) == (teacher, 2, True)
    fixed = read(tmp_path / "digits_mlp_float_taught_s2_qat_w4a4" / "experiment.toml")
    start = tmp_path / "digits_mlp_float_taught_s2_ptq_w4a4" / "checkpoint.safetensors"
    assert (fixed.train.teacher, fixed.train.start_from) == (teacher, str(start))
    assert (fixed.train.epochs, fixed.train.learn_scales) == (3, False)
    assert (fixed.recipe.weight_bit_width, fixed.recipe.activation_bit_width) == (4, 4)
    assert fixed.recipe.weight_scale == "per_channel"
