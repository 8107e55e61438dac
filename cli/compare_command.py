"""The command line of `compare`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.arguments import DataDir

Format = Literal["table", "csv", "md", "json", "html"]


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs, as runs/digits_mlp_w6a6.")],
    form: Annotated[
        Format,
        typer.Option("--format", help="table, csv, md, json, or html (one page with plots, needs nothing else)."),
    ] = "table",
    target: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it to this file, whole or not at all, and show the table."),
    ] = None,
    speed: Annotated[bool, typer.Option(help="Time the networks on this machine's CPU: seconds for each row.")] = True,
    images: Annotated[int, typer.Option(min=1, help="Inputs of the test set to time with, at most.")] = 1000,
    threads: Annotated[int, typer.Option(min=1, help="Threads to time with, of each of the four.")] = 1,
    data_dir: DataDir = None,
) -> None:
    """Compare runs: accuracy, size, speed, exactness and hardware cost, in one table and on one page with plots.

    Runs that are the same experiment but for the seed are one row: their mean accuracy, and its standard deviation.
    Rows stand by data set, the most accurate first. Writes nothing into the runs. What a run does not have is a blank,
    and a note says how to get it.

    Sizes: packed is every constant of the integer program at its width; the program's and the checkpoint's are files.
    Compression is 32 bits a weight, divided by the bits of the weights.

    Speed: PyTorch in float32 (batch norms folded), ONNX Runtime in float32 and in int8 (dense layers and convolutions
    quantised statically), and the integer program, of the same topology, in turn on the same inputs and threads; the
    fastest of several rounds. One thread is timed by the CPU time that it takes. More are timed by the clock, and want
    a machine without other work.

    Hardware: each column is of one stage and one tool; figures of different stages do not compare.

      bitwright compare runs/digits_mlp_w1a1 runs/digits_mlp_w6a6

      bitwright compare runs/mnist_* --format html --out compare.html
    """
    from bitwright.cli import compare as comparison  # noqa: PLC0415 - each command imports what it alone needs

    timed = comparison.Timed(images, threads) if speed else None
    comparison.compare(runs, form, target, timed, data_dir)
