"""Counterexamples on disk: saved, and read to be seen again."""

import shlex
import shutil
from pathlib import Path

import numpy as np
from levels import Case, Verdict
from numpy.typing import NDArray

from bitwright.export.qonnx_file import load, save
from bitwright.hls.target import Target


def write_finding(
    place: Path, case: Case, verdict: Verdict, target: Target | None, round_seed: int, first_seed: int
) -> None:
    """Save a counterexample: the graph, the inputs, PyTorch's outputs, and how to see it again."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    save(case.model, place / "model.onnx")
    np.save(place / "inputs.npy", case.inputs)
    if case.torch is not None:
        np.save(place / "torch.npy", case.torch)
    if target is not None:
        (place / "target.json").write_text(target.model_dump_json(indent=2) + "\n")
    again = f"make fuzz FUZZ={shlex.quote(f'--again {place}')}"
    (place / "README.md").write_text(
        f"# {verdict.result}: {verdict.where}\n\nSee it again: `{again}`\n\n"
        f"Seed {first_seed}, of the round {round_seed}.\n\nThe smallest network found:\n\n    {case.description}\n\n"
        f"{verdict.detail}\n"
    )


def read_finding(place: Path) -> tuple[Case, Target | None]:
    """Read what `write_finding` saved."""
    inputs: NDArray[np.float32] = np.load(place / "inputs.npy")
    outputs = np.load(place / "torch.npy") if (place / "torch.npy").exists() else None
    target = place / "target.json"
    case = Case(str(place), load(place / "model.onnx"), inputs, outputs)
    return case, Target.model_validate_json(target.read_text()) if target.exists() else None
