"""Projects of dense layers, as hls4ml itself writes them: read, run, lowered; and what is refused of them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hls4ml.model.graph import ModelGraph
from hls4ml.utils.config import create_config
from numpy.typing import NDArray

from bitwright.cli.benchmark_published import lowered_project, stage_rows
from bitwright.cli.published_verilog import write_latency_form
from bitwright.export.interface import describe, input_codes, output_values
from bitwright.export.operations import Integers
from bitwright.export.quiet import quiet
from bitwright.hls.published_csim import run_published
from bitwright.hls.published_project import PublishedProject, read_published
from bitwright.quant.fixed_point import FixedPoint
from bitwright.reports.report import Layer, Performance, Resources, Stage, StageReport, Tool
from bitwright.rtl.simulation import build_simulation, run_simulation

RNG = np.random.default_rng(5)
WEIGHT, WIDE = FixedPoint(4, 1), FixedPoint(12, 5)
RELU = FixedPoint(5, 1, signed=False, rounding="AP_RND_CONV", overflow="AP_SAT")
SIZES = (6, 5, 3)
CODES = [RNG.integers(WEIGHT.lowest, WEIGHT.highest + 1, sizes) for sizes in (SIZES[:2], SIZES[1], SIZES[1:], SIZES[2])]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "project"
    layers: list[dict[str, object]] = [{"class_name": "InputLayer", "name": "x", "input_shape": [SIZES[0]]}]
    precision = {"x": {"result": WIDE}}
    chain = [("fc1", "Dense"), ("relu1", "ReLU"), ("fc2", "Dense"), ("softmax", "Softmax")]
    constants = iter(CODES)
    sizes = {"fc1": SIZES[:2], "fc2": SIZES[1:]}
    for (name, kind), source in zip(chain, ("x", "fc1", "relu1", "fc2"), strict=True):
        layer: dict[str, object] = {"class_name": kind, "name": name, "inputs": [source]}
        precision[name] = {"result": RELU if kind == "ReLU" else WIDE}
        if kind == "Dense":
            layer |= {"n_in": sizes[name][0], "n_out": sizes[name][1]}
            layer |= {"weight_data": next(constants) * WEIGHT.step, "bias_data": next(constants) * WEIGHT.step}
            precision[name] |= {"weight": WEIGHT, "bias": WEIGHT, "accum": WIDE}
        else:
            layer |= {"class_name": "Softmax" if kind == "Softmax" else "Activation", "activation": kind.lower()}
            layer |= {"n_in": SIZES[1]} if kind == "ReLU" else {"n_in": SIZES[2], "axis": -1}
        layers.append(layer)
    config = create_config(
        output_dir=str(folder), project_name="net", backend="Vivado", io_type="io_parallel", write_tar=False
    )
    names = {
        name: {"Precision": {role: form.ap_fixed for role, form in types.items()}} for name, types in precision.items()
    }
    model = {"ReuseFactor": 1, "Strategy": "Latency", "BitExact": False, "Precision": WIDE.ap_fixed}
    config["HLSConfig"] = {"Model": model, "LayerName": names}
    with quiet("hls4ml"):
        ModelGraph.from_layer_list(config, layers).write()
    return folder


@pytest.fixture
def project(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(scope="module")
def values() -> NDArray[np.float32]:
    return RNG.normal(scale=2.0, size=(200, SIZES[0])).astype(np.float32)


def edited(project: Path, file: str, pattern: str, text: str) -> Path:
    path = project / "firmware" / file
    before = path.read_text()
    after = re.sub(pattern, text, before, count=1)
    assert after != before
    path.write_text(after)
    return path


def refused(project: Path, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_published(project)


def test_numbers_and_types_are_those_that_hls4ml_was_given(written: Path) -> None:
    found = read_published(written)
    first, last = found.layers
    for read, given in zip((first.weight, first.bias, last.weight, last.bias), CODES, strict=True):
        np.testing.assert_array_equal(read, given)
    assert (found.top, found.input, found.softmax) == ("net", WIDE, True)
    assert (first.weight_format, first.bias_format, first.accumulator, first.result) == (WEIGHT, WEIGHT, WIDE, WIDE)
    assert (first.activation, last.activation, last.output) == (RELU, None, WIDE)
    assert (first.strategy, first.reuse_factor) == ("latency", 1)


def theirs(folder: Path, project: PublishedProject, values: NDArray[np.float32], scratch: Path) -> Integers:
    steps = run_published(folder, project, values.astype(np.float64), scratch) / project.layers[-1].output.step
    np.testing.assert_array_equal(steps, np.rint(steps))
    return steps.astype(np.int64)


def test_cpp_cuts_every_product_and_nothing_else(written: Path, values: NDArray[np.float32], tmp_path: Path) -> None:
    found = read_published(written)
    codes = np.floor(values.astype(np.float64) / WIDE.step).astype(np.int64)
    np.testing.assert_array_equal(theirs(written, found, values, tmp_path), found(codes))


def test_sources_without_headers_and_kernels_of_todays_hls4ml_run_the_same(
    project: Path, values: NDArray[np.float32], tmp_path: Path
) -> None:
    found = read_published(project)
    for folder in ("nnet_utils", "ap_types"):
        shutil.rmtree(project / "firmware" / folder)
    parameters = project / "firmware" / "parameters.h"
    text, count = re.subn(r"\n +template[^;]*kernel = [^;]*;", "", parameters.read_text())
    assert count == 2
    parameters.write_text(text)
    codes = np.floor(values.astype(np.float64) / WIDE.step).astype(np.int64)
    np.testing.assert_array_equal(theirs(project, found, values, tmp_path / "installed"), found(codes))


def test_program_is_the_network_with_exact_sums(written: Path, values: NDArray[np.float32]) -> None:
    found = read_published(written)
    network = lowered_project(found, "net")
    at = np.floor(values.astype(np.float64) / WIDE.step) * WIDE.step
    for layer in found.layers:
        at = at @ (layer.weight * WEIGHT.step) + layer.bias * WEIGHT.step
        if layer.activation is not None:
            at = np.clip(np.rint(at / RELU.step), 0, RELU.highest) * RELU.step
    got = output_values(describe(network).output, network.program(input_codes(network, values)))
    np.testing.assert_array_equal(got, at)


def test_arithmetic_in_verilog_gives_the_integers_of_the_cpp(
    written: Path, values: NDArray[np.float32], tmp_path: Path
) -> None:
    found = read_published(written)
    codes = np.floor(values.astype(np.float64) / WIDE.step).astype(np.int64)
    design = write_latency_form(found, tmp_path / "rtl")
    built = build_simulation(design, tmp_path / "rtl", tmp_path / "cache")
    np.testing.assert_array_equal(run_simulation(built, design, codes, tmp_path / "parts"), found(codes))


def test_accumulator_that_rounds_has_no_arithmetic_in_verilog(project: Path, tmp_path: Path) -> None:
    edited(project, "defines.h", r"typedef ap_fixed<12,5>( \w*accum\w*);", r"typedef ap_fixed<12,5,AP_RND>\1;")
    message = "w2: accumulator must cut off and wrap, not be ap_fixed<12,5,AP_RND>; leave --products out"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_latency_form(read_published(project), tmp_path)


def test_softmax_is_taken_off_where_the_report_counts_it_alone() -> None:
    softmax = Layer(
        "softmax_U0", "softmax_stable_s", Performance(latency_max_cycles=3), used=Resources(40, 10, 5, 4, 0)
    )
    stage = StageReport(
        Stage.CSYNTH,
        Tool("Vivado HLS", "2019.2"),
        performance=Performance(latency_max_cycles=9, initiation_interval_max_cycles=1),
        used=Resources(100, 30, 7, 4, 0),
        layers=(Layer("fc1_U0", "dense_latency_s", used=Resources(60, 0, 2, 0, 0)), softmax),
    )
    assert [row.cells()[4:] for row in stage_rows(stage)] == [
        ["100", "30", "7", "4", "9", "1"],
        ["60", "20", "2", "0", "6", "1"],
    ]


def test_input_that_rounds_halves_up_is_refused(project: Path) -> None:
    edited(project, "defines.h", r"typedef ap_fixed<12,5>", "typedef ap_fixed<12,5,AP_RND>")
    message = "net: input must round by AP_TRN or AP_RND_CONV, not AP_RND, which QONNX cannot say; choose another"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        lowered_project(read_published(project), "net")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    refused(
        tmp_path,
        f"{tmp_path}: folder must be an hls4ml project, not one without firmware/parameters.h; name the project's own",
    )


def test_folder_of_two_sources_is_refused(project: Path) -> None:
    (project / "firmware" / "other.cpp").write_text("")
    refused(project, f"{project / 'firmware'}: folder must hold one .cpp file, the top function's, not 2; check it")


def test_stream_is_refused(project: Path) -> None:
    path = edited(project, "net.cpp", r"input_t (\w+)\[[^]]*\]", r"hls::stream<input_t> &\1")
    refused(
        project,
        f"{path}: top function must have an array in and one out, not other ports; "
        "projects of io_stream and of several inputs cannot be read",
    )


def test_branch_is_refused(project: Path) -> None:
    path = edited(project, "net.cpp", r"(nnet::dense<[^>]*>\()layer3_out", r"\1x")
    call = re.search(r"nnet::dense<[^>]*>\((x, layer4_out[^)]*)\)", path.read_text())
    assert call is not None
    refused(
        project,
        f"{path}: layers must follow one another up to a softmax, not branch as dense({call[1]}) does; "
        "only such networks can be read",
    )


def test_other_layer_is_refused(project: Path) -> None:
    path = edited(project, "net.cpp", "nnet::relu<", "nnet::tanh<")
    refused(
        project,
        f"{path}: layers must be dense, each with a ReLU or none, and a softmax, not tanh; "
        "only such networks can be read",
    )


def test_network_without_a_dense_layer_is_refused(project: Path) -> None:
    path = project / "firmware" / "net.cpp"
    path.write_text(re.sub(r"nnet::\w+<[^;]*;", "", path.read_text()))
    refused(project, f"{path}: network must have a dense layer, not none; it is of another kind")


def test_missing_configuration_is_refused(project: Path) -> None:
    path = edited(project, "parameters.h", r"struct config2 ", "struct other2 ")
    refused(project, f"{path}: file must hold config2, not leave it out; check it")


def test_size_that_is_no_number_is_refused(project: Path) -> None:
    path = edited(project, "parameters.h", r"n_out = \w+;", "n_out = N_UNKNOWN;")
    refused(project, f"{path}: config2.n_out must be a number, not 'N_UNKNOWN'; check it")


def test_unknown_type_is_refused(project: Path) -> None:
    path = edited(project, "defines.h", r"typedef ap_fixed<12,5> layer2_t;", "typedef nnet::array<float, 5> layer2_t;")
    refused(
        project,
        f"{path}: type 'layer2_t' must be an ap_fixed or ap_int, not 'nnet::array<float, 5>'; "
        "only such networks of io_parallel can be read",
    )


def test_missing_weights_are_refused(project: Path) -> None:
    path = project / "firmware" / "weights" / "w2.h"
    path.unlink()
    refused(project, f"{path}: source must be a text file, not missing or binary; fetch it again")


def test_header_without_numbers_is_refused(project: Path) -> None:
    path = edited(project, "weights/w2.h", r"= \{[^}]*\}", "")
    refused(project, f"{path}: header must hold the numbers of w2, not leave them out; fetch it again")


def test_array_that_is_cut_off_is_refused(project: Path) -> None:
    path = edited(project, "weights/w2.h", r", [-.\d]+\}", "}")
    refused(project, f"{path}: array must hold 30 numbers, as config2 says, not 29; fetch it again")


def test_array_of_words_is_refused(project: Path) -> None:
    path = edited(project, "weights/b2.h", r"= \{[-.\d]+", "= {a")
    refused(
        project, f"{path}: array must hold numbers alone, not could not convert string to float: 'a'; fetch it again"
    )


@pytest.mark.parametrize("number", ["1.5", "0.06"])
def test_number_of_another_type_is_refused(number: str, project: Path) -> None:
    path = edited(project, "weights/b2.h", r"= \{[-.\d]+", f"= {{{number}")
    refused(project, f"{path}: numbers must be of ap_fixed<4,1>, not {number}; the files are of two projects")
