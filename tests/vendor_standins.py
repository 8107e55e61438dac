"""Programs that behave like Vitis and Vivado of several versions: arguments, exit status, log, report tree."""

import os
import shutil
import sys
from pathlib import Path

import pytest

VERSIONS = {
    "vitis-run": "****** vitis-run v2024.2 (64-bit)\n  **** SW Build 5238294",
    "vitis_hls": "Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v2023.1 (64-bit)\nSW Build 3854077",
    "vivado_hls": "Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v2019.2 (64-bit)\nSW Build 2698951",
    "vivado": "Vivado v2023.1 (64-bit)\nSW Build 3865809",
}

STANDIN = """#!{python}
import os, re, signal, sys
from pathlib import Path

name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
if arguments in (["-version"], ["--version"]):
    if name == "vitis-run" and arguments == ["-version"]:
        sys.exit("unknown option -version")
    print({version!r})
    sys.exit(0)

here = Path(__file__).parent
with (here / "calls").open("a") as file:
    print(name, *arguments, sep="|", file=file)

def end(status, *lines):
    print(*lines, sep="\\n")
    sys.exit(status)

if name == "vivado":
    if arguments != ["-mode", "batch", "-nojournal", "-source", "vivado_synth.tcl"]:
        end(1, "ERROR: [Common 17-165] Too many positional options when parsing")
    if not list(Path().glob("*_prj/solution1/syn/verilog")):
        end(1, "ERROR: [Common 17-55] 'add_files' expects at least one file")
    Path("vivado_synth.rpt").write_text("| Tool Version : Vivado v.2023.1\\n")
    end(0, "Starting Synthesize : Time (s): cpu = 00:00:04", "INFO: [Common 17-206] Exiting Vivado")

started = {{
    "vitis-run": ["--mode", "hls", "--tcl", "build_prj.tcl"],
    "vitis_hls": ["-f", "build_prj.tcl"],
    "vivado_hls": ["-f", "build_prj.tcl"],
}}[name]
if arguments[: len(started)] != started:
    end(1, "ERROR: [HLS 200-101] unknown option")
given = arguments[len(started) :]
text = given[0] if name == "vivado_hls" else Path("build_opt.tcl").read_text()
options = {{key for key, value in re.findall(r"(\\w+)(?:=| +)(\\d)", text) if value == "1"}}
with (here / "options").open("a") as file:
    print(*sorted(options), file=file)
project = re.search(r'set project_name "(\\w+)"', Path("project.tcl").read_text())[1]
solution = Path(f"{{project}}_prj/solution1")

if os.environ.get("STANDIN") == "refuse":
    end(
        1,
        "INFO: [HLS 200-10] Running 'vitis_hls'",
        "ERROR: [HLS 207-3776] use of undeclared identifier 'relu' (firmware/top.cpp:7:5)",
        "ERROR: [HLS 200-1715] Encountered problem during source synthesis",
        "Pre-synthesis failed.",
    )
if os.environ.get("STANDIN") == "licence":  # old versions end with status 0
    end(0, "@E [HLS-72] License checkout unsuccessful. Make sure that license can be accessed.")
if os.environ.get("STANDIN") == "nothing":
    end(0, "INFO: [Common 17-206] Exiting")
if os.environ.get("STANDIN") == "killed":
    print("INFO: [HLS 200-10] Analyzing design file 'firmware/top.cpp' ...", flush=True)
    os.kill(os.getpid(), 9)

if os.environ.get("STANDIN") == "interrupt":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)

if "synth" in options:
    (solution / "syn/report").mkdir(parents=True, exist_ok=True)
    (solution / "syn/verilog").mkdir(exist_ok=True)
    (solution / f"syn/report/{{project}}_csynth.xml").write_text("<profile/>")
    print("***** C/RTL SYNTHESIS *****", "INFO: [HLS 200-42] -- Implementing module 'top'", sep="\\n")
    print("***** C/RTL SYNTHESIS COMPLETED IN 0h0m1s *****")
elif not (solution / "syn").is_dir():
    end(1, "ERROR: [COSIM 212-29] C synthesis must be run first")
if "cosim" in options:
    (solution / "sim/report").mkdir(parents=True, exist_ok=True)
    (solution / f"sim/report/{{project}}_cosim.rpt").write_text("Pass")
    print("INFO: Test PASSED")
if "export" in options:
    (solution / "impl/ip").mkdir(parents=True, exist_ok=True)
    (solution / "impl/ip/component.xml").write_text("<component/>")
sys.exit(0)
"""


def standin(folder: Path, name: str) -> None:
    """Write a program that behaves like the tool of that name."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(STANDIN.format(python=sys.executable, version=VERSIONS[name]))
    path.chmod(0o755)


def only_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> None:
    """Let the PATH hold stand-ins of these names, and of all else g++ alone."""
    for name in names:
        standin(folder, name)
    folder.mkdir(exist_ok=True)
    gcc = shutil.which("g++")
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), *([str(Path(gcc).parent)] if gcc else [])]))


def calls(folder: Path, what: str = "calls") -> list[str]:
    """What the stand-ins were called with, or which options of `build_prj.tcl` they saw."""
    path = folder / what
    return path.read_text().splitlines() if path.exists() else []


def hls_project(folder: Path, code: str = "void top(int *x) { x[0]++; }\n", backend: str = "vitis") -> Path:
    """Write an hls4ml project's files, as far as launching it needs them."""
    (folder / "firmware").mkdir(parents=True)
    (folder / "firmware" / "top.cpp").write_text(code)
    (folder / "project.tcl").write_text(
        f'variable project_name\nset project_name "top"\nset backend "{backend}"\nset part "xcvu13p-flga2577-2-e"\n'
    )
    (folder / "build_prj.tcl").write_text("source build_opt.tcl\n")
    if backend == "vitis":
        (folder / "build_opt.tcl").write_text("array set opt {\n    csim       1\n}\n")
    return folder
