"""Many exports in one process: what torch works out anew for each, and always alike, is worked out once."""

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch._C import DispatchKey
from torch._export.utils import _collect_all_valid_cia_ops
from torch._ops import OperatorBase
from torch.export import decomp_utils, exported_program
from torch.onnx._internal.exporter._registration import ONNXRegistry

_read_registry = ONNXRegistry.from_torchlib
_register_slowly = OperatorBase.py_impl


@contextlib.contextmanager
def quick_exports() -> Iterator[None]:
    """Let torch export to the same files in a third of the time.

    Torch's tables of operators are kept, a decorator that torch applies ten thousand times an export does no more than
    it must, and no garbage is collected before the export is over.
    """
    with (
        mock.patch.object(ONNXRegistry, "from_torchlib", staticmethod(_registry)),
        mock.patch.object(decomp_utils, "_collect_all_valid_cia_ops", _composite_operators),
        mock.patch.object(exported_program, "_collect_all_valid_cia_ops", _composite_operators),
        mock.patch.object(OperatorBase, "py_impl", _register),
        _garbage_kept(),
    ):
        yield


@functools.cache
def _registry_read_once(opset_version: int) -> ONNXRegistry:
    return _read_registry(opset_version=opset_version)


def _registry(opset_version: int) -> ONNXRegistry:
    """Return torch's table from operators to ONNX, a copy: an export adds its own translations to it."""
    registry = ONNXRegistry()
    registry._opset_version = opset_version
    known = _registry_read_once(opset_version).functions
    registry.functions = {target: list(decompositions) for target, decompositions in known.items()}
    return registry


@functools.cache
def _composite_operators_of(_namespaces: tuple[str, ...]) -> set[Any]:
    return _collect_all_valid_cia_ops()


def _composite_operators() -> set[Any]:
    """Return the operators that torch makes of others; nobody changes the set, and a new library brings a new one."""
    return _composite_operators_of(tuple(torch.ops._dir))


def _register(self: OperatorBase, key: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - a key, or a class of tensors
    """Do what ``OperatorBase.py_impl`` does for a plain key that is free, and leave the rest to it."""
    if not isinstance(key, DispatchKey) or key == DispatchKey.Python or key in self.py_kernels:
        return _register_slowly(self, key)

    def register(kernel: Any) -> Any:  # noqa: ANN401
        self.py_kernels[key] = kernel
        self._dispatch_cache.clear()
        return kernel

    return register


@contextlib.contextmanager
def _garbage_kept() -> Iterator[None]:
    was_collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collected:
            gc.enable()
