"""Both copies of a constant must be the same numbers."""

import re
from pathlib import Path

import pytest

from bitwright.hls.weight_files import check_weight_files

HEADER = "#ifndef __SYNTHESIS__\nweight_t w2[2];\n#else\nweight_t w2[2] = {{{}}};\n#endif\n"


def project(folder: Path, synthesised: str, simulated: str) -> Path:
    weights = folder / "firmware" / "weights"
    weights.mkdir(parents=True)
    (weights / "w2.h").write_text(HEADER.format(synthesised))
    (weights / "w2.txt").write_text(simulated)
    return folder


def test_same_numbers_pass(tmp_path: Path) -> None:
    check_weight_files(project(tmp_path, "0.5, -1.0", "0.50, -1"))


@pytest.mark.parametrize("simulated", ["0.5, 1.0", "0.5", "0.5, -1.0, 0"])
def test_other_numbers_are_refused(simulated: str, tmp_path: Path) -> None:
    header = project(tmp_path, "0.5, -1.0", simulated) / "firmware" / "weights" / "w2.h"
    message = (
        f"{header}: numbers must be those of w2.txt, which the simulation reads, not others; "
        "delete the project and write it again"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_weight_files(tmp_path)
