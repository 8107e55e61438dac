"""C++ that HLS would refuse is found and named; what hls4ml writes passes."""

import re
from pathlib import Path

import numpy as np
import pytest
from vendor_standins import hls_project

from bitwright.export.operations import Conv2d, Flatten, Input, Operation
from bitwright.export.precision import minimal
from bitwright.export.program import Program
from bitwright.hls.project import write_project
from bitwright.hls.target import Target
from bitwright.hls.tool_error import ToolError
from bitwright.quant.fixed_point import FixedPoint
from bitwright.synth.refused_cpp import refused_cpp


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (
            "#include <cstdlib>\nint *made() { return (int *)malloc(4); }\nvoid top(int *x) {\n    *x = *made();\n}\n",
            "dynamic memory: top -> made -> malloc (firmware/top.cpp:2)",
        ),
        (
            "void top(int *x) { int *y = new int; *x = *y; }\n",
            "dynamic memory: top -> operator new (firmware/top.cpp:1)",
        ),
        (
            "#include <vector>\nvoid top(int *x) {\n    std::vector<int> v;\n    v.push_back(*x);\n    *x = v[0];\n}\n",
            "dynamic memory: top -> std::vector::push_back -> ... -> operator new (firmware/top.cpp:4)",
        ),
        (
            "int odd(int n);\nint even(int n) { return n ? odd(n - 1) : 1; }\n"
            "int odd(int n) { return n ? even(n - 1) : 0; }\nvoid top(int *x) { *x = even(*x); }\n",
            "recursion: top -> even -> odd -> even (firmware/top.cpp:3)",
        ),
        (
            '#include <cstdio>\nnamespace nnet {\ntemplate <int n> void show(int x) { printf("%d", x); }\n}\n'
            "void top(int *x) { nnet::show<3>(*x); }\n",
            "library or system call: top -> nnet::show -> printf (firmware/top.cpp:3)",
        ),
        (
            "#include <iostream>\nvoid top(int *x) { std::cout << *x; }\n",
            "library or system call: top -> std::basic_ostream::operator<< (firmware/top.cpp:2)",
        ),
        ("void top(int *x) { if (*x) throw 1; }\n", "exception: top -> __cxa_allocate_exception (firmware/top.cpp:1)"),
        (
            "struct Base { virtual int f() { return 1; } };\nvoid top(int *x, Base *b) { *x = b->f(); }\n",
            "call through a pointer: top -> a pointer (firmware/top.cpp:2)",
        ),
        (
            "int sum(int n) { int a[n]; a[0] = n; return a[0]; }\nvoid top(int *x) { *x = sum(*x); }\n",
            "array whose length is known only at run time: top -> sum (firmware/top.cpp:2)",
        ),
    ],
)
def test_each_kind_of_refused_cpp_is_named_with_its_chain(code: str, found: str, tmp_path: Path) -> None:
    assert found in list(map(str, refused_cpp(hls_project(tmp_path / "hls", code))))


def test_code_that_synthesis_does_not_see_and_that_nothing_calls_is_left_alone(tmp_path: Path) -> None:
    code = (
        "#include <cmath>\n#include <cstdio>\n#include <cstdlib>\n#include <algorithm>\n"
        "void *unused() { return malloc(4); }\n"
        "template <int n> int half(int x) { return half<n - 1>(x) / 2; }\n"
        "template <> int half<0>(int x) { return x; }\n"
        'void top(float *x) {\n#ifndef __SYNTHESIS__\n    printf("%f", *x);\n#endif\n'
        "    static float kept = *x;\n    *x = std::sqrt(std::max(*x, kept)) + half<5>(3);\n}\n"
    )
    assert refused_cpp(hls_project(tmp_path / "hls", code)) == ()


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_what_hls4ml_writes_passes(io_type: str, tmp_path: Path) -> None:
    weights = np.random.default_rng(3).integers(-7, 8, (3, 3, 2, 4))
    operations: tuple[Operation, ...] = (
        Conv2d("conv", "x", weights, FixedPoint(4, 4), None, (1, 1), (1, 1, 1, 1)),
        Flatten("flat", "conv"),
    )
    program = Program((Input("x", "", (5, 4, 2), FixedPoint(6, 3)), *operations))
    target = Target.model_validate({"io_type": io_type})
    write_project(program, minimal(program), target, tmp_path / "hls")
    assert refused_cpp(tmp_path / "hls") == ()


def test_project_whose_top_function_is_missing_is_refused(tmp_path: Path) -> None:
    project = hls_project(tmp_path / "hls", "void other() {}\n")
    where = re.escape(str(project))
    message = rf"^{where}: top function must be top in firmware/top.cpp, not missing; write it again$"
    with pytest.raises(ValueError, match=message):
        refused_cpp(project)


def test_cpp_that_does_not_compile_for_synthesis_is_quoted(tmp_path: Path) -> None:
    project = hls_project(tmp_path / "hls", "#ifndef __SYNTHESIS__\nint n;\n#endif\nvoid top(int *x) { *x = n; }\n")
    message = r"must compile with __SYNTHESIS__ defined, not fail \(.*top.cpp:4:.*n. was not declared.*\); write"
    with pytest.raises(ToolError, match=message):
        refused_cpp(project)
