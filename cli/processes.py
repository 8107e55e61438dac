"""Trainings of several processes: which one of them this is, and whether they can find each other.

Lightning starts the processes of one machine itself, with LOCAL_RANK set. Those of several machines are started by
torchrun (RANK), by SLURM (SLURM_PROCID), or by hand (NODE_RANK).
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from bitwright.cli.console import note
from bitwright.models.hardware import cores
from bitwright.models.settings import TrainSettings

BY_HAND = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
"""What a node must be told where nobody else tells it."""

QUIET_SECONDS = 5.0

WAIT_SECONDS = 1800.0
"""As long as Lightning waits; the first process may have data to fetch."""


def is_first_process(settings: TrainSettings, variables: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process writes the run's folder: the only one, or the first of all nodes.

    Args:
        settings: Of the training.
        variables: Of the environment.

    >>> settings = TrainSettings(devices=2, nodes=2)
    >>> is_first_process(settings, {"NODE_RANK": "1", "LOCAL_RANK": "0"})
    False
    >>> is_first_process(settings, {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"})
    True
    """
    if settings.devices * settings.nodes == 1:
        return True
    if _launcher(variables) == "torchrun":
        return variables["RANK"] == "0"
    if _launcher(variables) == "slurm":
        return variables["SLURM_PROCID"] == "0"
    return variables.get("LOCAL_RANK", "0") == "0" and variables.get("NODE_RANK", "0") == "0"


def check_processes(settings: TrainSettings, variables: Mapping[str, str] = os.environ) -> None:
    """Refuse more processes than cores, unless they are said to be of GPUs, and nodes that would wait without an end.

    Args:
        settings: Of the training.
        variables: Of the environment.

    Raises:
        ValueError: Naming the setting.
    """
    if settings.accelerator != "gpu" and settings.devices > cores():
        raise ValueError(
            f"train.devices: number must be at most {cores()}, the cores of this machine, not {settings.devices}; "
            f"take --set train.devices={cores()}"
        )
    missing = [name for name in BY_HAND if not variables.get(name)]
    if settings.nodes > 1 and missing and not _launcher(variables):
        raise ValueError(
            f"train.nodes: nodes must be told how to find each other, not be without {', '.join(missing)}; start them "
            "with torchrun or srun, or set these (docs/training.md)"
        )


def wait_for_first(marker: Path, key: str, seconds: float | None = None) -> None:
    """Wait until the first process has made the run's folder ready.

    Args:
        marker: The file that it writes last.
        key: What stands in it then.
        seconds: To wait at most; `WAIT_SECONDS` if None.

    Raises:
        TimeoutError: If it does not come, because it failed or writes elsewhere.
    """
    seconds = WAIT_SECONDS if seconds is None else seconds
    started, said = time.monotonic(), False
    while not has_text(marker, key):
        waited = time.monotonic() - started
        if waited > seconds:
            raise TimeoutError(
                f"{marker}: file must come from the first process within {seconds:g} s, not be missing or of other "
                "settings; look there for what it said, and let all nodes share the folder of the runs"
            )
        if waited > QUIET_SECONDS and not said:
            note(f"train: waits for the first process to make {marker} ready")
            said = True
        time.sleep(0.1)


def has_text(path: Path, text: str) -> bool:
    """Return whether a file is there and holds a text; another process may take it away meanwhile."""
    try:
        return path.read_text() == text
    except (FileNotFoundError, NotADirectoryError):
        return False


def check_own_processes(settings: TrainSettings, command: str, variables: Mapping[str, str] = os.environ) -> None:
    """Refuse a command of several machines, or one that somebody else started more than once.

    Args:
        settings: Of the training.
        command: That starts its further processes itself.
        variables: Of the environment.

    Raises:
        ValueError: Naming the command.
    """
    if settings.nodes > 1 or (settings.devices > 1 and _launcher(variables)):
        raise ValueError(
            f"{command}: processes must be those of one machine that it starts itself, not of {settings.nodes} nodes "
            "or of torchrun or srun; leave out train.nodes, and call it once"
        )


def _launcher(variables: Mapping[str, str]) -> str:
    """Return who starts the processes, as Lightning finds it out; nothing where Lightning does."""
    if "TORCHELASTIC_RUN_ID" in variables and "RANK" in variables:
        return "torchrun"
    interactive = variables.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "slurm" if "SLURM_NTASKS" in variables and "SLURM_PROCID" in variables and not interactive else ""
