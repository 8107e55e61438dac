"""The C++ of an hls4ml project, whoever wrote it, compiled and run up to its softmax."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.hls.csim_build import FLAGS, compiler
from bitwright.hls.published_project import CALL, PublishedProject, top_source
from bitwright.hls.tool_error import ToolError

TAP = "bitwright_scores"
_LOADING = re.compile(r"#ifndef __SYNTHESIS__.*?#endif", re.DOTALL)
_DENSE_CONFIG = re.compile(r"(struct\s+\w+\s*:\s*nnet::dense_config\s*\{)(.*?)(\n\};)", re.DOTALL)
KERNEL = """
    template <class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;"""
"""What hls4ml 1.0 and later write into the configuration of a dense layer of the Latency strategy."""


def run_published(
    folder: Path, project: PublishedProject, values: NDArray[np.float64], scratch: Path
) -> NDArray[np.float64]:
    """Return the values before the softmax ``(N, outputs)`` that a project's own C++ computes.

    The weights are those of its headers, which synthesis reads. Headers of hls4ml and of the number types are the
    project's own where it has them, and else those of the installed hls4ml.

    Args:
        folder: The project; it stays as it is.
        project: What was read of it.
        values: Network inputs ``(N, inputs)``.
        scratch: A folder for the sources and the program.

    Raises:
        ToolError: If there is no compiler, or it fails, or the program dies.
        OSError: If a file cannot be read or written.
    """
    source = _prepare(folder / "firmware", project, scratch)
    gcc, program, log = compiler(), scratch / "published", scratch / "compile.log"
    include = [f"-I{_of(scratch / 'firmware', 'ap_types')}", f"-I{scratch / 'firmware'}"]
    command = [gcc, *FLAGS, *include, str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        log.write_text(built.stderr)
        said = next((line for line in built.stderr.splitlines() if "error" in line), "no output")
        raise ToolError(
            f"{folder}: C++ must compile with the headers of the installed hls4ml, not fail: {said.strip()}; see {log}",
            command,
            built.returncode,
            log,
        )
    ran = subprocess.run([str(program)], input=values.astype(np.float64).tobytes(), capture_output=True, check=False)
    outputs = len(project.layers[-1].bias)
    if ran.returncode or len(ran.stdout) != 8 * len(values) * outputs:
        raise ToolError(
            f"{folder}: C++ must run through, not exit with status {ran.returncode}; check its sources",
            [str(program)],
            ran.returncode,
        )
    return np.frombuffer(ran.stdout).reshape(len(values), outputs)


def _prepare(firmware: Path, project: PublishedProject, scratch: Path) -> Path:
    """Write the sources into the scratch folder, with a tap before the softmax and weights out of their headers."""
    place = scratch / "firmware"
    shutil.copytree(firmware, place, ignore=shutil.ignore_patterns("*.so"))
    for header in (place / "weights").glob("*.h"):
        text = header.read_text()
        header.write_text(re.sub(r"#ifndef __SYNTHESIS__.*?#else(.*?)#endif", r"\1", text, flags=re.DOTALL))
    if not (place / "nnet_utils").is_dir():
        (place / "nnet_utils").symlink_to(_of(place, "nnet_utils"))
        parameters = place / "parameters.h"
        parameters.write_text(_DENSE_CONFIG.sub(_with_kernel, parameters.read_text()))
    top = top_source(place)
    inputs, outputs = len(project.layers[0].weight), len(project.layers[-1].bias)
    driver = f"""
#include <cstdio>
int main() {{
    double values[{inputs}];
    while (std::fread(values, sizeof(double), {inputs}, stdin) == {inputs}) {{
        input_t in[{inputs}];
        result_t out[{outputs}];
        for (int i = 0; i < {inputs}; i++)
            in[i] = values[i];
        {project.top}(in, out);
        std::fwrite({TAP}, sizeof(double), {outputs}, stdout);
    }}
    return 0;
}}
"""
    text = _tapped(_LOADING.sub("", top.read_text()), project, outputs)
    text = re.sub(rf"(void\s+{project.top}\s*\()", rf"static double {TAP}[{outputs}];\n\1", text, count=1)
    top.write_text(text + driver)
    return top


def _tapped(text: str, project: PublishedProject, outputs: int) -> str:
    """Return the top function's source with a copy of the last dense layer's output, in place of a softmax."""
    calls = [call for call in CALL.finditer(text) if call["function"] in ("dense", "relu", "linear", "softmax")]
    last = calls[-1]
    at = last["arguments"].split(",")[0 if project.softmax else 1].strip()
    copy = f"for (int i = 0; i < {outputs}; i++) {TAP}[i] = (double){at}[i];"
    begin = last.start() if project.softmax else last.end()
    return f"{text[:begin]}{copy}{text[last.end() :]}"


def _with_kernel(found: re.Match[str]) -> str:
    return found[0] if " kernel" in found[2] else f"{found[1]}{found[2]}{KERNEL}{found[3]}"


def _of(firmware: Path, name: str) -> Path:
    """Return a folder of headers: the project's, or hls4ml's, which is not imported for it."""
    own = firmware / name
    if own.is_dir():
        return own.resolve()
    spec = find_spec("hls4ml")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = [Path(place) / "templates" / "vivado" / name for place in places]
    if not found or not found[0].is_dir():
        raise ToolError(f"csim: headers {name} must be there, in the installed hls4ml, not missing; run `make install`")
    return found[0]
