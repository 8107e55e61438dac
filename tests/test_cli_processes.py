"""Trainings of several processes, started by Lightning, torchrun or by hand."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from road import CONFIGS, SMALL, Bitwright
from safetensors.torch import load_file

from bitwright.cli import processes, stage_train
from bitwright.cli.processes import is_first_process, wait_for_first
from bitwright.models.hardware import cores
from bitwright.models.settings import TrainSettings

COMMAND = Path(sys.executable).with_name("bitwright")
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_RANK": "0"}
SLURM = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({**TORCHRUN, "RANK": "0", "GROUP_RANK": "0"}, True),
        ({**TORCHRUN, "RANK": "1", "GROUP_RANK": "1"}, False),
        ({**SLURM, "SLURM_PROCID": "0"}, True),
        ({**SLURM, "SLURM_PROCID": "1"}, False),
        ({**SLURM, "SLURM_PROCID": "0", "LOCAL_RANK": "1", "SLURM_JOB_NAME": "bash"}, False),
    ],
)
def test_one_process_of_all_writes_the_run(variables: Mapping[str, str], first: bool) -> None:
    assert is_first_process(TrainSettings(devices=2), variables) is first
    assert is_first_process(TrainSettings(nodes=2), variables) is first
    assert is_first_process(TrainSettings(), variables)  # tasks of SLURM that each train a network of their own


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_more_processes_than_cores_are_refused(accelerator: str, tmp_path: Path, bitwright: Bitwright) -> None:
    many = cores() + 1
    options = ("--set", f"train.devices={many}", "--set", f"train.accelerator={accelerator}")
    outcome = bitwright("train", CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path, *options)
    says = (
        f"train.devices: number must be at most {cores()}, the cores of this machine, not {many}; take --set "
        f"train.devices={cores()}\n"
    )
    assert (outcome.status, outcome.err) == (2, says)
    assert not list(tmp_path.iterdir())


def test_finished_training_of_more_processes_is_up_to_date(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path, *SMALL)
    assert bitwright(*command).status == 0

    def refuse(settings: TrainSettings) -> None:
        raise ValueError("asked")

    monkeypatch.setattr(stage_train, "check_processes", refuse)
    assert bitwright(*command).status == 0
    assert bitwright(*command, "--set", "train.epochs=3").err == "asked\n"


@pytest.mark.parametrize("known", [{}, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}])
def test_nodes_that_cannot_find_each_other_are_refused(
    known: Mapping[str, str], tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    outcome = bitwright("train", CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path, "--set", "train.nodes=2")
    missing = "NODE_RANK" if known else "MASTER_ADDR, MASTER_PORT, NODE_RANK"
    says = (
        f"train.nodes: nodes must be told how to find each other, not be without {missing}; start them with torchrun "
        "or srun, or set these (docs/training.md)\n"
    )
    assert (outcome.status, outcome.err) == (2, says)


def test_process_that_waits_in_vain_says_so(tmp_path: Path) -> None:
    marker = tmp_path / "key"
    marker.write_text("another")
    with pytest.raises(TimeoutError, match=f"^{re.escape(str(marker))}: file must come from the first process within"):
        wait_for_first(marker, "wanted", seconds=0.2)
    marker.write_text("wanted")
    wait_for_first(marker, "wanted", seconds=0.0)
    marker.unlink()
    with pytest.raises(TimeoutError):
        wait_for_first(marker, "wanted", seconds=0.0)


def test_further_process_waits_for_the_first(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path, *SMALL)
    assert bitwright(*command).status == 0  # the folder is there, of other settings
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    monkeypatch.setattr(processes, "WAIT_SECONDS", 0.2)
    for name, value in {**TORCHRUN, "RANK": "1", "GROUP_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    outcome = bitwright(*command, "--set", "train.nodes=2")
    marker = tmp_path / "digits_mlp_w6a6" / "training" / "key"
    says = f"{marker}: file must come from the first process within 0.2 s, not be missing or of other settings; "
    assert outcome.status == 2
    assert outcome.err.startswith(says)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_prune_of_several_machines_is_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("prune", fixed_run, "--runs-dir", fixed_run.parent, "--set", "train.nodes=2")
    says = (
        "prune: processes must be those of one machine that it starts itself, not of 2 nodes or of torchrun or srun; "
        "leave out train.nodes, and call it once\n"
    )
    assert (outcome.status, outcome.err) == (2, says)


def started(launcher: str, node: int, port: int, arguments: list[str]) -> subprocess.Popen[str]:
    """One of two nodes of one process each."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command = [str(COMMAND), *arguments]
    if launcher == "torchrun":
        run = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node_rank={node}", "--nproc_per_node=1"]
        command = [*run, "--master_addr=127.0.0.1", f"--master_port={port}", "--no-python", *command]
    else:
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(node)}
    return subprocess.Popen(
        command, env=variables | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("by hand", marks=pytest.mark.slow)])
def test_two_nodes_train_one_network(launcher: str, tmp_path: Path) -> None:
    settings = ["train.nodes=2", "train.float_weights_share=0.5", "recipe.weight_scale_from=parameter"]
    arguments = ["train", str(CONFIGS / "digits_mlp_w6a6.toml"), "--runs-dir", str(tmp_path), *SMALL]
    arguments += [part for setting in settings for part in ("--set", setting)]
    port = free_port()
    nodes = [started(launcher, node, port, arguments) for node in (0, 1)]
    said = [node.communicate(timeout=240) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    run = tmp_path / "digits_mlp_w6a6"
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["epochs"], metrics["hardware"].partition(", ")[2]) == (2, "processes: 2, threads: 1")
    assert metrics["validation_accuracy"] > 0.3  # chance is 0.1
    assert all(torch.isfinite(value).all() for value in load_file(run / "checkpoint.safetensors").values())
    assert "epoch 2 of 2" in said[0][1]
    assert "epoch" not in said[1][1]
    assert (run / "report.html").is_file()
