"""Eight small networks as a newcomer writes them, trained, from Brevitas to the compiled C++ project."""

from pathlib import Path

import numpy as np
import pytest
from newcomer_networks import NEWCOMERS

from bitwright.cli.stage_convert import convert
from bitwright.export.interface import describe, output_codes
from bitwright.export.lower import lower
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.hls.target import Target

INPUTS = 60
STREAMED = ("cnn", "mobilenet", "resnet", "unet")
SLOW = ("unet", "series_cnn")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NEWCOMERS]


@pytest.mark.parametrize("name", NAMES)
def test_newcomers_network_is_exact_at_every_level(name: str, tmp_path: Path) -> None:
    newcomer = NEWCOMERS[name]()
    target = Target(io_type="io_stream" if name in STREAMED else "io_parallel")
    model, values = tmp_path / f"{name}.onnx", newcomer.inputs[:INPUTS]
    write_qonnx(newcomer.module, newcomer.input_shape, model)
    np.save(tmp_path / "x.npy", values)
    run, verdict = convert(model, tmp_path / "x.npy", tmp_path / "out", target, 0, allow_approximate=False)
    assert verdict.chip_exact
    port = describe(lower(load(model))).output
    torch = output_codes(port, run_torch(newcomer.module, values).reshape(len(values), -1))
    program = np.load(run.output("program"))
    assert {level: result.different for level, result in verdict.levels.items()} == {
        "qonnx": 0,
        "program": 0,
        "csim": 0,
    }
    assert (torch == program).all()
