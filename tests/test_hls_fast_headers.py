"""The fast headers give the integers of the original ones: by operation, in projects, and checked in a run."""

import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hls4ml
import numpy as np
import pytest
from road import Bitwright

from bitwright.export.operations import (
    Conv2d,
    Dense,
    Flatten,
    Input,
    Integers,
    MaxPool2d,
    MultiplyAdd,
    Operation,
    Requantize,
    Threshold,
)
from bitwright.export.precision import minimal
from bitwright.export.program import Program
from bitwright.hls import csim_build
from bitwright.hls.csim import CHECKED, Simulation, check_headers
from bitwright.hls.csim_build import FAST_HEADERS, build_library
from bitwright.hls.project import write_project
from bitwright.hls.target import Target
from bitwright.hls.tool_error import ToolError
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of

ORIGINAL_HEADERS = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
ROUNDING = ("AP_TRN", "AP_TRN_ZERO", "AP_RND", "AP_RND_ZERO", "AP_RND_INF", "AP_RND_MIN_INF", "AP_RND_CONV")
OVERFLOW = ("AP_WRAP", "AP_SAT", "AP_SAT_ZERO", "AP_SAT_SYM")
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32)
# Unsigned numbers that fill a native integer have no bit to spare for a sign
FULL_WORDS = (
    "ap_uint<32>, ap_uint<32>, ap_ufixed<31,15,AP_RND_MIN_INF,AP_SAT>",
    "ap_ufixed<32,20,AP_RND,AP_SAT>, ap_int<32>, ap_uint<8>",
)

PROPERTY = r"""
#include <cmath>
#include <cstdio>
#include "ap_fixed.h"
#include "ap_int.h"
#include "utils/x_hls_utils.h"

static unsigned long long state = 88172645463325252ull;
static unsigned long long draw() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
template <class T> void show(const char *what, T x) {
    printf("%s %d %llx", what, int(T::width), (unsigned long long)x.range(AP_MIN(T::width, 64) - 1, 0).to_uint64());
    if (T::width > 64) printf(" %llx", (unsigned long long)x.range(T::width - 1, AP_MIN(T::width - 1, 64)).to_uint64());
    printf("\n");
}
static void show(const char *what, bool x) { printf("%s %d\n", what, int(x)); }
template <class T> T any(int i) { // the ends, zero, one, minus one and their neighbours, then random bits
    const unsigned long long top = 1ull << (T::width - 1), ends[] = {0, 1, ~0ull, top, top - 1, top + 1};
    T x = 0;
    x.range(T::width - 1, 0) = ap_uint<64>(i < 6 ? ends[i] : draw());
    return x;
}
template <class T> void from_double(double d) {
    printf("%a", d);
    show(" as double", T(d));
    show(" as float", T(float(d)));
}
template <class T, class A> void conversions() {
    printf("%s\n", __PRETTY_FUNCTION__);
    for (int i = 0; i < 60; i++) {
        A a = any<A>(i);
        show("a", a);
        T t = a;
        show("t", t);
        t = 0;
        t = a;
        show("t", t);
        from_double<T>(a.to_double());
        from_double<T>((double(long((draw() >> 20) % 4097)) - 2048) * std::ldexp(1.0, int(draw() % 24) - 20));
    }
    for (double d : {0.0, 0.25, 0.5, 1.5, 2.5, 0.49999999999999994, 12345.678, 4294967296.5, 1e-310, 1e30, 1e300}) {
        from_double<T>(d);
        from_double<T>(-d);
    }
}
// The original headers stop at ++ where one is less than a step
template <class T> constexpr bool counts = true;
template <int W, int I, ap_q_mode Q, ap_o_mode O> constexpr bool counts<ap_fixed<W, I, Q, O>> = W >= I;
template <int W, int I, ap_q_mode Q, ap_o_mode O> constexpr bool counts<ap_ufixed<W, I, Q, O>> = W >= I;
template <class A, class B> void remainder(A, B) {}
template <int W, int W2> void remainder(ap_int<W> a, ap_int<W2> b) { show("%", a % b); }
template <int W, int W2> void remainder(ap_int<W> a, ap_uint<W2> b) { show("%", a % b); }
template <int W, int W2> void remainder(ap_uint<W> a, ap_int<W2> b) { show("%", a % b); }
template <int W, int W2> void remainder(ap_uint<W> a, ap_uint<W2> b) { show("%", a % b); }
#define SHOW(EXPRESSION) show(#EXPRESSION, EXPRESSION)
template <class A, class B, class T> void operations() {
    printf("%s\n", __PRETTY_FUNCTION__);
    for (int i = 0; i < 48; i++) {
        A a = any<A>(i % 8);
        B b = any<B>(i / 8);
        SHOW(a); SHOW(b);
        SHOW(a + b); SHOW(a - b); SHOW(a * b); SHOW(a & b); SHOW(a | b); SHOW(a ^ b);
        SHOW(a == b); SHOW(a != b); SHOW(a < b); SHOW(a <= b); SHOW(a > b); SHOW(a >= b);
        SHOW(-a); SHOW(!a); SHOW(~a);
        if (b != 0) { SHOW(a / b); remainder(a, b); }
        T t = b;
        SHOW(t);
        t += a; SHOW(t); t -= b; SHOW(t); t *= a; SHOW(t); t &= a; SHOW(t); t |= b; SHOW(t); t ^= a; SHOW(t);
        t = a + b; SHOW(t); t = a * b; SHOW(t);
        if constexpr (counts<T>) { t++; SHOW(t); --t; SHOW(t); }
        int k = int(draw() % 70001) - 35000;
        unsigned u = draw() % 50000;
        long l = long(draw() >> 30) - (1l << 33);
        SHOW(a + k); SHOW(a * k); SHOW(k - a); SHOW(a * u); SHOW(u - a); SHOW(a + l); SHOW(a * 2 - u);
        SHOW(a < k); SHOW(a > 0); SHOW(k >= a); SHOW(a <= u); SHOW(a == k % 5); SHOW(a != 0);
        SHOW(T(k)); SHOW(T(u)); SHOW(T(l)); SHOW(T(true));
        int s = int(draw() % 40) - 8;
        SHOW(A(a << s)); SHOW(A(a >> s)); SHOW(A(a << unsigned(i))); SHOW(A(a >> unsigned(i)));
        t <<= s; SHOW(t); t >>= 2; SHOW(t);
        int high = draw() % A::width, low = draw() % (high + 1);
        printf("%llx %d\n", (unsigned long long)a.range(high, low).to_uint64(), int(a[high]));
        SHOW(T(a(high, low)));
        a(high, low) = ap_uint<16>(draw() & 0xffff); SHOW(a);
        a[low] = int(draw() & 1); SHOW(a);
        B c = 0;
        c.range() = a.range(); SHOW(c);
        printf("%a %a %d %u %lld %llu\n", a.to_double(), double(a.to_float()), a.to_int(), a.to_uint(),
               (long long)a.to_int64(), (unsigned long long)a.to_uint64());
        SHOW(hls::numeric_limits<A>::max()); SHOW(hls::numeric_limits<A>::min());
    }
}
"""


def number(draw: random.Random, most: int) -> str:
    """A type at random, within what the original headers do without stopping."""
    width = draw.choice([width for width in WIDTHS if width <= most])
    sign = draw.choice(("", "u"))
    if draw.random() < 0.3:
        return f"ap_{sign}int<{width}>"
    rounding, overflow = draw.choice(ROUNDING), draw.choice(OVERFLOW)
    integer = draw.randint(0, width + (4 if rounding == "AP_TRN" else 0))
    return f"ap_{sign}fixed<{width},{integer},{rounding},{overflow}>"


def table(seed: int, pairs: int) -> str:
    """A program that converts to each rounding and overflow mode, and runs every operation on pairs of types."""
    draw = random.Random(seed)
    lines = []
    for rounding in ROUNDING:
        for overflow in OVERFLOW:
            width = draw.choice(WIDTHS)
            integer = draw.randint(-2, width + (4 if rounding == "AP_TRN" else 0))
            to = f"ap_{draw.choice(('', 'u'))}fixed<{width},{integer},{rounding},{overflow}>"
            lines.append(f"conversions<{to}, {number(draw, 32)}>();")
    lines += [f"operations<{number(draw, 20)}, {number(draw, 20)}, {number(draw, 32)}>();" for _ in range(pairs)]
    lines += [f"operations<{types}>();" for types in FULL_WORDS]
    return PROPERTY + "int main() {\n" + "\n".join(lines) + "\n}\n"


@pytest.mark.parametrize(("seed", "pairs"), [(1, 6), *(pytest.param(s, 24, marks=pytest.mark.slow) for s in (2, 3, 4))])
def test_every_operation_gives_the_bits_of_the_original_headers(seed: int, pairs: int, tmp_path: Path) -> None:
    (tmp_path / "table.cpp").write_text(table(seed, pairs))

    def output(name: str, headers: Path) -> list[str]:
        flags = ["-O0", "-w", "-std=c++17", "-fpermissive", f"-I{headers}"]
        subprocess.run(["g++", *flags, "table.cpp", "-o", name], cwd=tmp_path, check=True, capture_output=True)
        return subprocess.run([tmp_path / name], check=True, capture_output=True, text=True).stdout.splitlines()

    with ThreadPoolExecutor() as pool:
        fast, original = pool.map(output, ("fast", "original"), (FAST_HEADERS, ORIGINAL_HEADERS))
    assert len(fast) == len(original) > 25_000
    assert [(i, *pair) for i, pair in enumerate(zip(fast, original, strict=True)) if pair[0] != pair[1]] == []


RANDOM = np.random.default_rng(11)
CODE = FixedPoint(6, 3)


def thresholds(channels: int, count: int) -> Integers:
    return np.sort(RANDOM.integers(-60, 60, (channels, count)), axis=1)


def chain() -> Program:
    """All operations in a row."""
    weights, bits = FixedPoint(4, 2), Bipolar()
    falling = np.array([True, False, True, True])
    operations: tuple[Operation, ...] = (
        Input("x", "", (8, 8, 3), CODE),
        Conv2d(
            "conv", "x", RANDOM.integers(-7, 8, (3, 3, 3, 4)), weights, RANDOM.integers(-50, 50, 4), (1, 1), (1,) * 4
        ),
        MultiplyAdd(
            "scale",
            "conv",
            np.array([30, -27, 5, 9]),
            np.array([-900, 511, 128, 7]),
            8,
            format_of(0.25, 5, signed=True),
        ),
        MaxPool2d("pool", "scale", (2, 2), (2, 2)),
        Threshold("sign", "pool", np.sort(RANDOM.integers(-4, 4, (4, 1)), axis=1), falling, bits),
        Conv2d("binary", "sign", RANDOM.choice(np.array([-1, 1]), (2, 2, 4, 4)), bits, None, (1, 1), (0,) * 4),
        Threshold("levels", "binary", thresholds(4, 3) // 8, falling, format_of(0.5, 2, signed=False)),
        Flatten("flat", "levels"),
        Dense("fc", "flat", RANDOM.integers(-7, 8, (36, 5)), weights, RANDOM.integers(-50, 50, 5)),
        Requantize("out", "fc", format_of(2.0, 4, signed=True)),
    )
    return Program(operations)


def written(folder: Path, io_type: str) -> tuple[Program, Path, Integers]:
    program = chain()
    write_project(program, minimal(program), Target.model_validate({"io_type": io_type}), folder / "hls")
    return program, folder / "hls", RANDOM.integers(CODE.lowest, CODE.highest + 1, (40, 8, 8, 3))


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_project_gives_the_same_integers_in_every_layer(io_type: str, tmp_path: Path) -> None:
    program, project, codes = written(tmp_path, io_type)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    fast, original = (build_library(project, tmp_path / "csim", kind) for kind in ("fast", "original"))
    assert fast != original
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    one, other = Simulation(fast, project, program), Simulation(original, project, program)
    assert (one(codes) == program(codes)).all()
    assert (other(codes) == program(codes)).all()
    assert len(np.unique(program(codes))) > 5
    layers, expected = one.trace(codes[:5]), other.trace(codes[:5])
    assert layers.keys() == expected.keys() >= {"conv", "scale", "pool", "sign", "binary", "levels", "fc", "out"}
    assert all((layers[name] == expected[name]).all() for name in layers)
    assert check_headers(fast, original, project, program, codes) == CHECKED


def test_wrong_fast_header_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program((Input("x", "", (9,), CODE), Requantize("act", "x", format_of(0.25, 5, signed=True))))
    project, codes = tmp_path / "hls", RANDOM.integers(CODE.lowest, CODE.highest + 1, (20, 9))
    write_project(program, minimal(program), Target(), project)
    right = build_library(project, tmp_path / "csim", "fast")
    wrong = Path(shutil.copytree(FAST_HEADERS, tmp_path / "wrong"))
    text = (wrong / "fast_ap.h").read_text()
    halves = "half && ((floored & 1) || rest)"
    assert text.count(halves) == 1
    (wrong / "fast_ap.h").write_text(text.replace(halves, "half"))  # half up instead of half to even
    monkeypatch.setattr(csim_build, "FAST_HEADERS", wrong)
    fast, original = (build_library(project, tmp_path / "csim", kind) for kind in ("fast", "original"))
    assert fast != right
    assert check_headers(right, original, project, program, codes) == CHECKED
    message = (
        r"csim: fast headers must give the integers of the original ones, not other ones at input \d+, value \d+; "
        r"run with --csim-headers original and report this network to Bitwright"
    )
    with pytest.raises(ToolError, match=f"^{message}$"):
        check_headers(fast, original, project, program, codes)


def test_few_inputs_are_checked_where_one_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitwright.hls.csim.PATIENCE", 0.0)
    (tmp_path / "hls" / "firmware").mkdir(parents=True)
    (tmp_path / "hls" / "firmware" / "bitwright.cpp").write_text("int nothing;\n")
    bridge = 'extern "C" void bitwright_double(double *x, double *y) { y[0] = 2 * x[0]; }\n'
    (tmp_path / "hls" / "bitwright_bridge.cpp").write_text(bridge)
    library = build_library(tmp_path / "hls", tmp_path / "csim")
    program = Program((Input("x", "", (1,), CODE), Dense("fc", "x", np.array([[2]]), CODE, None)))
    assert check_headers(library, library, tmp_path / "hls", program, np.zeros((9, 1), np.int64)) == 1


def test_run_checks_its_first_inputs_and_can_take_the_original_headers(fixed_run: Path, bitwright: Bitwright) -> None:
    expected = np.load(fixed_run / "outputs" / "csim.npy")
    says = "csim: fast headers; the original ones give the same integers on the first 16 inputs"
    for headers, said in (("fast", True), ("original", False)):
        (fixed_run / "outputs" / "csim.npy").unlink()
        outcome = bitwright("verify", fixed_run, "--cached", "--csim-headers", headers)
        assert outcome.status == 0, outcome.err
        assert (says in outcome.err) is said
        assert (np.load(fixed_run / "outputs" / "csim.npy") == expected).all()
    outcome = bitwright("verify", fixed_run, "--csim-headers", "other")
    says = "bitwright verify: --csim-headers must be one of fast, original, not 'other'; see `bitwright verify --help`"
    assert (outcome.status, outcome.err) == (2, f"{says}\n")
