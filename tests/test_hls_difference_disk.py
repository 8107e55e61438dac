"""Projects are broken on disk: each time the right layer and the right cause are named."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from difference_networks import BINARY, CODES, FIXED, JOINED, NETWORKS, check, holds, operation

from bitwright.export.operations import (
    Integers,
)
from bitwright.export.precision import minimal
from bitwright.hls.csim import Simulation
from bitwright.hls.csim_build import build_library
from bitwright.hls.difference import Difference, first_difference
from bitwright.hls.project import write_project
from bitwright.hls.target import Target

Edit = Callable[[Path], None]
Found = tuple[dict[str, Integers], Difference | None]


class Projects:
    """Written projects, compiled once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.libraries: dict[Path, Path] = {}

    def project(self, network: str, io_type: Literal["io_parallel", "io_stream"] = "io_parallel") -> Path:
        """Return the unbroken project."""
        project = self.folder / f"{network}_{io_type}"
        if not project.exists():
            program = NETWORKS[network]
            write_project(program, minimal(program), Target(io_type=io_type), project)
            self.libraries[project] = build_library(project, self.folder / "libraries")
        return project

    def simulate(self, project: Path, network: str, tmp_path: Path) -> Found:
        """Trace a project; a library reads its weights but once, when it is first run, so that this runs a copy."""
        library = shutil.copy(self.libraries[project], tmp_path / "copy.so")
        found = Simulation(Path(library), project, NETWORKS[network]).trace(CODES[network])
        return found, first_difference(NETWORKS[network], found, CODES[network])

    def compile_with(self, network: str, edit: Edit, tmp_path: Path) -> Found:
        """Edit a copy of the project's sources, compile and trace it."""
        project = tmp_path / "project"
        shutil.copytree(self.project(network), project)
        edit(project)
        self.libraries[project] = build_library(project, tmp_path / "libraries")
        return self.simulate(project, network, tmp_path)

    def load_with(self, project: Path, network: str, name: str, edit: Callable[[Any], Any], tmp_path: Path) -> Found:
        """Edit the numbers that the simulation loads when it starts, trace, and put them back."""
        path = project / "firmware" / "weights" / f"{name}.txt"
        before = path.read_text()
        numbers = np.array([float(number) for number in before.split(",")])
        path.write_text(", ".join(map(repr, edit(numbers).reshape(-1).tolist())))
        try:
            return self.simulate(project, network, tmp_path)
        finally:
            path.write_text(before)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not on the PATH")
    return Projects(tmp_path_factory.mktemp("projects"))


def retype(name: str, before: str, after: str) -> Edit:
    """Return the edit of one typedef, which must be as it is said to be."""

    def edit(project: Path) -> None:
        defines = project / "firmware" / "defines.h"
        old = f"typedef {before} {name};"
        assert old in defines.read_text()
        defines.write_text(defines.read_text().replace(old, f"typedef {after} {name};"))

    return edit


def put(index: tuple[int, ...], shape: tuple[int, ...], value: float) -> Callable[[Any], Any]:
    """Return the edit of one number."""

    def edit(numbers: Any) -> Any:  # noqa: ANN401
        assert numbers[np.ravel_multi_index(index, shape)] != value
        numbers[np.ravel_multi_index(index, shape)] = value
        return numbers

    return edit


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_unbroken_project_agrees_at_every_tap(
    projects: Projects, network: str, io_type: Literal["io_parallel", "io_stream"], tmp_path: Path
) -> None:
    found, difference = projects.simulate(projects.project(network, io_type), network, tmp_path)
    untapped = {operation.name for operation in NETWORKS[network].operations} - set(found)
    assert untapped <= {"x", "flat"}  # the port, and the reshape that does nothing
    assert difference is None


def test_libraries_in_one_process_share_no_variables(projects: Projects) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm is not on the PATH")
    library = projects.libraries[projects.project("fixed", "io_stream")]
    listed = subprocess.run(["nm", "--dynamic", str(library)], capture_output=True, text=True, check=True).stdout
    assert "line_buffer" in listed
    assert [line for line in listed.splitlines() if " u " in line] == []  # g++'s process-wide ones


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize(
    ("name", "file", "index"), [("conv1", "w2", (2, 0, 1, 1)), ("fc1", "w6", (17, 3)), ("fc2", "w8", (4, 0))]
)
def test_weight_edited_on_disk_is_found(
    projects: Projects,
    io_type: Literal["io_parallel", "io_stream"],
    name: str,
    file: str,
    index: tuple[int, ...],
    tmp_path: Path,
) -> None:
    weight = operation(FIXED, name).weight
    value = int(-weight[index]) or 3
    edit = put(index, weight.shape, value / 8)
    found, difference = projects.load_with(projects.project("fixed", io_type), "fixed", file, edit, tmp_path)
    check(difference, "fixed", found, name)
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"weight {list(index)} acts as {value}, not {weight[index]}"


def test_binary_weight_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    weight = operation(BINARY, "fc1").weight
    edit = put((7, 5), weight.shape, int(weight[7, 5] < 0))
    found, difference = projects.load_with(projects.project("binary"), "binary", "w6", edit, tmp_path)
    check(difference, "binary", found, "fc1")
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"weight [7, 5] acts as {-weight[7, 5]}, not {weight[7, 5]}"


def test_multiplier_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    multiplier = int(operation(FIXED, "act1").multiplier[1])
    step = 2.0**-3  # 7 bits of the shift, 2 of the result, less 6 of the accumulator
    edit = put((1,), (2,), (multiplier - 2) * step)
    found, difference = projects.load_with(projects.project("fixed"), "fixed", "s4", edit, tmp_path)
    check(difference, "fixed", found, "act1")
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"multiplier [1] acts as {multiplier - 2}, not {multiplier}"


def test_threshold_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    edit = put((0, 0), (2, 1), 9)
    found, difference = projects.load_with(projects.project("binary"), "binary", "t4", edit, tmp_path)
    check(difference, "binary", found, "act1")
    assert difference is not None
    assert difference.cause == "threshold"
    assert difference.detail.startswith("threshold [0, 0] acts as ")
    assert holds(difference.detail, "threshold", 9)


def test_rows_in_channel_first_order_on_disk_are_found(projects: Projects, tmp_path: Path) -> None:
    found, difference = projects.load_with(
        projects.project("fixed"),
        "fixed",
        "w6",
        lambda numbers: numbers.reshape(3, 4, 2, 5).transpose(2, 0, 1, 3),
        tmp_path,
    )
    check(difference, "fixed", found, "fc1")
    assert difference is not None
    assert difference.cause == "layout"
    assert difference.detail == "rows are in (C, H, W) order, the program's in (H, W, C)"


@pytest.mark.parametrize(
    ("network", "layer", "edit", "cause", "detail"),
    [
        (
            "fixed",
            "conv1",
            retype("conv1_accum_t", "ap_fixed<11,5>", "ap_fixed<10,4>"),
            "overflow",
            "accumulator wraps at 10 bits: 11 are needed",
        ),
        (
            "fixed",
            "fc1",
            retype("fc1_accum_t", "ap_fixed<12,7>", "ap_fixed<11,7>"),
            "rounding",
            "accumulator drops 1 fraction bit and rounds down (AP_TRN): 5 are needed",
        ),
        (
            "binary",
            "fc1",
            retype("fc1_accum_t", "ap_ufixed<4,4>", "ap_ufixed<3,3>"),
            "overflow",
            "match counter wraps at 3 bits: 4 are needed",
        ),
        (
            "fixed",
            "act1",
            retype("layer4_t", "ap_ufixed<4,2,AP_RND_CONV,AP_SAT,0>", "ap_ufixed<4,2,AP_TRN,AP_SAT,0>"),
            "rounding",
            "rounds down (AP_TRN) instead of half to even (AP_RND_CONV)",
        ),
        (
            "fixed",
            "act2",
            retype("layer7_t", "ap_fixed<5,4,AP_RND_CONV,AP_SAT_SYM,0>", "ap_fixed<5,4,AP_RND,AP_SAT_SYM,0>"),
            "rounding",
            "rounds half up (AP_RND) instead of half to even (AP_RND_CONV)",
        ),
    ],
)
def test_type_edited_on_disk_is_found(
    projects: Projects, network: str, layer: str, edit: Edit, cause: str, detail: str, tmp_path: Path
) -> None:
    found, difference = projects.compile_with(network, edit, tmp_path)
    check(difference, network, found, layer)
    assert difference is not None
    assert (difference.cause, difference.detail) == (cause, detail)


def test_scale_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    def edit(project: Path) -> None:
        for name, before, after in (
            ("fc2_weight_t", "ap_fixed<4,1>", "ap_fixed<4,2>"),
            ("fc2_accum_t", "ap_fixed<10,6>", "ap_fixed<11,7>"),
            ("result_t", "ap_fixed<10,6>", "ap_fixed<11,7>"),
        ):
            retype(name, before, after)(project)
        weights = project / "firmware" / "weights" / "w8.txt"
        weights.write_text(", ".join(repr(2 * float(number)) for number in weights.read_text().split(",")))

    found, difference = projects.compile_with("fixed", edit, tmp_path)
    check(difference, "fixed", found, "fc2")
    assert difference is not None
    assert (difference.cause, difference.detail) == ("scale", "values are 2**1 times what they should be")


@pytest.mark.parametrize(
    ("layer", "name", "before", "after", "detail"),
    [
        ("sum", "layer4_t", "ap_fixed<10,4>", "ap_fixed<9,3>", "result wraps at 9 bits: 10 are needed"),
        ("dw", "dw_accum_t", "ap_fixed<9,3>", "ap_fixed<8,2>", "accumulator wraps at 8 bits: 9 are needed"),
    ],
)
def test_narrow_type_of_a_branch_is_found(
    projects: Projects, layer: str, name: str, before: str, after: str, detail: str, tmp_path: Path
) -> None:
    found, difference = projects.compile_with("joined", retype(name, before, after), tmp_path)
    check(difference, "joined", found, layer)
    assert difference is not None
    assert (difference.cause, difference.detail) == ("overflow", detail)


def test_branches_that_changed_places_on_disk_are_found(projects: Projects, tmp_path: Path) -> None:
    def edit(project: Path) -> None:
        top = project / "firmware" / "bitwright.cpp"
        text = top.read_text()
        call = re.search(r"concatenate3d<(layer4_t), (layer5_t), layer6_t, config6>\((\w+), (\w+), ", text)
        assert call
        swapped = f"concatenate3d<{call[2]}, {call[1]}, layer6_t, config6>({call[4]}, {call[3]}, "
        top.write_text(text.replace(call[0], swapped))

    found, difference = projects.compile_with("joined", edit, tmp_path)
    check(difference, "joined", found, "both")
    assert difference is not None
    assert (difference.cause, difference.detail) == ("layout", "table stands before sum")


def test_axes_on_disk_are_found(projects: Projects, tmp_path: Path) -> None:
    def edit(project: Path) -> None:
        path = project / "firmware" / "parameters.h"
        text = path.read_text()
        config = re.search(r"struct config7 .*?};", text, re.DOTALL)
        assert config
        plain = re.sub(r"stride_0 = 4;", "stride_0 = 24;", config[0]).replace("stride_1 = 32;", "stride_1 = 4;")
        assert plain != config[0]
        path.write_text(text.replace(config[0], plain))

    found, difference = projects.compile_with("joined", edit, tmp_path)
    check(difference, "joined", found, "turned")
    assert difference is not None
    assert (difference.cause, difference.detail) == ("layout", "axes are (0, 1, 2), the program's (1, 0, 2)")


def test_entry_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    edit = put((3,), (16,), 3.5)
    found, difference = projects.load_with(projects.project("joined"), "joined", "table5", edit, tmp_path)
    check(difference, "joined", found, "table")
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == "entry for 3 acts as 7, not -7"


def test_weight_of_a_depthwise_layer_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    weight = operation(JOINED, "dw").weight
    value = int(-weight[2, 1, 1]) or 3
    edit = put((2, 1, 1), weight.shape, value / 8)
    found, difference = projects.load_with(projects.project("joined"), "joined", "w3", edit, tmp_path)
    check(difference, "joined", found, "dw")
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"weight [2, 1, 1] acts as {value}, not {weight[2, 1, 1]}"
