"""The folder of a step's results: there whole, or not at all; what a failed step said is kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitwright.hls.tool_error import ToolError


@contextmanager
def result_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` at the end.

    Raises:
        ToolError: The one raised inside, with its log where it lies then: ``failed.<name>`` beside the folder.
        OSError: If the folder cannot be written.
    """
    partial, failed = folder.with_name(f".{folder.name}.partial"), folder.with_name(f"failed.{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except ToolError as error:
        shutil.rmtree(failed, ignore_errors=True)
        partial.replace(failed)
        log = error.log and failed / error.log.relative_to(partial)
        raise ToolError(str(error).replace(str(partial), str(failed)), error.command, error.status, log) from error
    shutil.rmtree(failed, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
