"""What a training runs on, for the record. Imports no torch before it is asked for a GPU's name."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """Return the name of the CPU, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def cores() -> int:
    """Return how many cores the machine has."""
    return os.cpu_count() or 1


def trained_on(device_type: str, processes: int, threads: int) -> str:
    """Return what a training runs on, for people.

    Args:
        device_type: As torch has it: "cpu", "cuda", "mps".
        processes: Of all nodes, one a device.
        threads: Of each process on the CPU.

    >>> trained_on("cpu", 1, 2) == f"{processor()}, threads: 2"
    True
    """
    if device_type == "cpu":
        return f"{processor()}, " + (f"processes: {processes}, " if processes > 1 else "") + f"threads: {threads}"
    if device_type != "cuda":
        return f"{device_type} of {processor()}"
    import torch  # noqa: PLC0415 - takes seconds

    return (f"{processes} x " if processes > 1 else "") + torch.cuda.get_device_name()
