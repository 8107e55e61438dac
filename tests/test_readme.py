"""The README's example runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from networks import graph

from bitwright.export.qonnx_file import save

README = Path(__file__).parents[1] / "README.md"


def test_example_of_the_library_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    body = (
        "q = Quant (x, half, zero, four) v = Quant (w, s, zero, three) m = MatMul (q, v) r = Relu (m) "
        "a = UnsignedQuant (r, half, zero, four) [last] u = Quant (k, half, zero, three) y = MatMul (a, u)"
    )
    rng = np.random.default_rng(1)
    model = graph(body, (1, 4), (1, 2), w=rng.normal(0, 1, (4, 3)), k=rng.normal(0, 1, (3, 2)), s=0.3)
    save(model, tmp_path / "model.onnx")
    np.save(tmp_path / "inputs.npy", rng.normal(0, 2, (50, 4)).astype(np.float32))
    (tmp_path / "example.py").write_text(example)
    finished = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (tmp_path / "project" / "firmware" / "bitwright.cpp").is_file()
