"""What hls4ml's testbench reads."""

from pathlib import Path

import numpy as np
from rtl_programs import PROGRAMS, inputs_of

from bitwright.hls.testbench_data import write_testbench_data


def test_values_are_integers_times_their_step(tmp_path: Path) -> None:
    program = PROGRAMS["dense"]()  # ap_fixed<4,2>: a step is a quarter
    codes = inputs_of(program, 150)
    write_testbench_data(tmp_path, program, codes)
    given = np.loadtxt(tmp_path / "tb_data" / "tb_input_features.dat")
    found = np.loadtxt(tmp_path / "tb_data" / "tb_output_predictions.dat")
    assert (given == codes[:100] / 4).all()
    assert (found == program(codes[:100]) * program.output.format.step).all()


def test_bits_are_0_and_1(tmp_path: Path) -> None:
    program = PROGRAMS["max pooling of bits"]()
    codes = inputs_of(program, 3)
    write_testbench_data(tmp_path, program, codes)
    given = np.loadtxt(tmp_path / "tb_data" / "tb_input_features.dat")
    assert (given == (codes.reshape(3, -1) + 1) / 2).all()
