"""Benchmarks refuse wrong command lines, paths and files in one line, with status 2, before they measure anything."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from road import CONFIGS

from bitwright.cli.benchmark_accuracy_page import ROWS
from bitwright.cli.benchmark_arguments import ends_in_one_line
from bitwright.cli.exit_status import INTERRUPTED

FOLDER = Path(__file__).parents[1] / "cli"
BENCHMARKS = sorted(path.stem for path in FOLDER.glob("benchmark*.py") if "__main__" in path.read_text())


def run(arguments: Sequence[str | Path], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a benchmark as `python -m` does; return its exit status."""
    path = FOLDER / f"{arguments[0]}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments[1:])])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(path), run_name="__main__")
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_every_benchmark_is_tried() -> None:
    assert len(BENCHMARKS) == 12


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_is_shown_and_nothing_is_measured(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"], monkeypatch) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: python -m bitwright.cli.{name} [-h]")
    assert "[]" not in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("benchmark --nope", "arguments must be known ones, not '--nope'"),
        ("benchmark_rtl --nope", "arguments must be known ones, not '--nope'"),
        ("benchmark_estimate --nope x", "arguments must be known ones, not '--nope'"),
        ("benchmark_search", "RUN must be given, not missing"),
        ("benchmark_search x --count 0", "--count must be a whole number of 1 or more, not '0'"),
        ("benchmark_search x --count many", "--count must be a whole number of 1 or more, not 'many'"),
        (
            "benchmark_search x --rounding gpt",
            "--rounding must be one of nearest, gptq, gpfq, learned, not 'gpt'; did you mean 'gptq'?",
        ),
        ("benchmark_products x", "--layer must be given, not missing"),
        ("benchmark_products x --layer y --family ice40", "--family must be one of xc7, xcup, not 'ice40'"),
        ("benchmark_fold", "RUN must be given, not missing"),
        ("benchmark_fold x --yosys xcap", "--yosys must be one of xc7, xcup, not 'xcap'; did you mean 'xcup'?"),
        ("benchmark_fold x --reuse-factors 0", "--reuse-factors must be a whole number of 1 or more, not '0'"),
        ("benchmark_fold x --reuse-factors", "--reuse-factors must have a value behind it, not none"),
        ("benchmark_fold x --latency-cutoff nan", "--latency-cutoff must be a finite number above 0, not 'nan'"),
        ("benchmark_fold x --latency-cutoff low", "--latency-cutoff must be a finite number above 0, not 'low'"),
        ("benchmark_fold x --la y", "option must be one of --layer, --latency-cutoff, not '--la'"),
        ("benchmark_published x --inputs jet", "--inputs must be one of jets, not 'jet'; did you mean 'jets'?"),
        ("benchmark_packed VGG", "NETWORK must be one of TFC, SFC, LFC, LeNet-5, CNV, not 'VGG'"),
        ("benchmark_packed --rounds 0", "--rounds must be a whole number of 1 or more, not '0'"),
        ("benchmark_packing --networks 2:a", "--networks must be bits, 1 to 16, and sizes, as 2:32,32, not '2:a'"),
        ("benchmark_packing --seeds -1", "--seeds must be a whole number from 0 to 2147483647, not '-1'"),
        ("benchmark_calibration --epochs 0", "--epochs must be a whole number of 1 or more, not '0'"),
        ("benchmark_calibration --rows both", "--rows must be one of all, plain, taught, not 'both'"),
        ("benchmark_calibration --jets=3", "--jets must stand alone, not with '3'"),
        (
            "benchmark_accuracy mnist_tfc_w1a9",
            f"EXPERIMENT must be one of {', '.join(ROWS)}, not 'mnist_tfc_w1a9'; did you mean 'mnist_tfc_w1a2'?",
        ),
        ("benchmark_cnv x y", "arguments must be known ones, not 'y'"),
    ],
)
def test_command_line_is_refused_in_one_line(
    arguments: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = arguments.split()[0]
    assert run(arguments.split(), monkeypatch) == 2
    end = "" if says.endswith("?") else ";"
    line = f"{name}: {says}{end} see `python -m bitwright.cli.{name} --help`\n"
    assert capsys.readouterr() == ("", line)


NO_MODEL = "x/model.lowered.onnx: model must be an ONNX file, not missing; run `bitwright export` first"
NO_DESIGN = "x/rtl/design.json: design must be there, not missing; run `bitwright rtl` first"
NO_FOLDER = "results must go into a folder that can be made, not below a file; name another folder"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["benchmark_rtl", "x"], NO_MODEL),
        (["benchmark_fold", "x"], NO_MODEL),
        (["benchmark_products", "x", "--layer", "fc0"], NO_MODEL),
        (["benchmark_estimate", "x"], NO_DESIGN),
        (["benchmark_search", "x"], "x: experiment must be a TOML file, not missing; see configs/ for examples"),
        (
            ["benchmark_published", "text"],
            "text: folder must be an hls4ml project, not one without firmware/parameters.h; name the project's own",
        ),
        (["benchmark_cnv", "x"], "x: experiment must be a TOML file, not missing; see configs/ for examples"),
        (["benchmark_fold", "x", "--layer", "fc1", "y"], NO_MODEL),
        (["benchmark_packing", "--runs-dir", "text"], f"text/packing_w1a1_64_64_s1: {NO_FOLDER}"),
        (
            ["benchmark_calibration", "--configs", "digits_mlp_float", "x"],
            f"{CONFIGS.resolve()}/x.toml: experiment must be a TOML file, not missing; see configs/ for examples",
        ),
        (["benchmark_accuracy", "mnist_tfc_w1a1", "--runs-dir", "text"], f"text/mnist_tfc_w1a1_s1: {NO_FOLDER}"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_path_is_refused_in_one_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("hello\n")
    assert run(arguments, monkeypatch) == 2
    assert " ".join(capsys.readouterr().err.split()) == line
    assert list(tmp_path.iterdir()) == [tmp_path / "text"]


def test_interrupted_benchmark_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    @ends_in_one_line
    def main(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    assert main([]) == INTERRUPTED
    assert capsys.readouterr() == ("", "interrupted\n")
