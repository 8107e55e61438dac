"""Memory that is freed stays with the process while it trains, and only then."""

import platform
import resource

import pytest
import torch

from bitwright.models.freed_memory import freed_memory_kept

ACTIVATIONS, FLOATS = 4, 9_000_000  # each beyond 32 MiB, which glibc by itself always maps anew
PAGES = ACTIVATIONS * FLOATS * 4 // resource.getpagesize()

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")


def step() -> None:
    """What a training step does to memory: many large tensors, all freed at its end."""
    kept = [torch.ones(FLOATS) for _ in range(ACTIVATIONS)]
    del kept


def faults_of_a_step() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_step_gets_the_memory_of_the_step_before() -> None:
    with freed_memory_kept():
        faults = [faults_of_a_step() for _ in range(20)]  # in the first ones the heap finds its size
    assert min(faults) < PAGES // 50, faults


def test_memory_goes_back_afterwards_and_so_after_a_failure() -> None:
    def failing() -> None:
        with freed_memory_kept():
            step()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        failing()
    assert faults_of_a_step() > PAGES // 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.delattr("ctypes.CDLL")
    with freed_memory_kept():
        step()
