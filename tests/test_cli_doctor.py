"""The doctor sees what is there, and says what is not."""

import re
from types import SimpleNamespace

import pytest
from road import Bitwright

from bitwright.cli import doctor


def test_everything_pinned_is_installed(bitwright: Bitwright) -> None:
    outcome = bitwright("doctor")
    assert outcome.status == 0, outcome.out
    for package in ("torch", "brevitas", "qonnx", "onnx", "onnxruntime", "hls4ml", "numpy", "lightning"):
        assert re.search(rf"│ {package} +│ \S+ +│ \S+ +│ ok", outcome.out), package
    assert outcome.out.endswith("All that is needed is there.\n")


def test_missing_compiler_is_a_failure_and_missing_vivado_is_not(
    bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == "g++" else f"/tools/{name}")
    monkeypatch.setattr(doctor, "_version", lambda path: "1.0")
    outcome = bitwright("doctor")
    assert outcome.status == 1
    assert re.search(r"│ g\+\+ +│ missing +│ no C simulation: .*apt-get install g\+\+", outcome.out)
    monkeypatch.setattr("shutil.which", lambda name: f"/tools/{name}" if name == "g++" else None)
    outcome = bitwright("doctor")
    assert outcome.status == 0
    assert re.search(r"│ vitis-run or vitis_hls +│ missing +│ no C synthesis", outcome.out)


def test_other_version_is_named(bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_versions", lambda: {"torch": "1.0+cpu"})
    monkeypatch.setattr(doctor, "pins", lambda: {"torch": "2.13.0"})
    outcome = bitwright("doctor")
    assert outcome.status == 1
    assert re.search(r"│ torch +│ 2\.13\.0 +│ 1\.0\+cpu +│ differs: run `make install`", outcome.out)


@pytest.mark.parametrize(("version", "said"), [((3, 10), False), ((3, 11), True), ((3, 13, 9), True), ((3, 14), False)])
def test_python_must_be_one_that_the_package_takes(
    version: tuple[int, ...], said: bool, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=version))
    outcome = bitwright("doctor")
    assert ("must be 3.11 to 3.13" not in outcome.out, outcome.status == 0) == (said, said)
