"""Memory that is freed stays with the process while it trains, and only then."""

import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bitwright.models import classifier, training
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.dataset import load as load_data
from bitwright.models.freed_memory import freed_memory_kept
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training import train
from bitwright.quant.recipe import Recipe

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


def test_a_training_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = [False]
    steps: list[bool] = []

    @contextmanager
    def watched() -> Iterator[None]:
        inside[0] = True
        yield
        inside[0] = False

    def step(*_: object) -> None:
        steps.append(inside[0])

    monkeypatch.setattr(training, "freed_memory_kept", watched)
    monkeypatch.setattr(classifier.Classifier, "on_train_batch_end", step)
    data = load_data("digits")
    data = replace(data, train=data.train.take(np.arange(64)), validation=data.validation.take(np.arange(32)))
    network = NetworkDescription(ModelSettings(hidden=(8,)), Recipe(), (1, 8, 8), 10)
    train(network, TrainSettings(epochs=1, batch_size=32), data, 1, tmp_path, report=lambda _: None)
    assert steps == [True, True]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.delattr("ctypes.CDLL")
    with freed_memory_kept():
        step()
