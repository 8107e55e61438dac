"""The command `page`: report.html of a run's folder."""

from pathlib import Path

from bitwright.cli.page_collect import collect
from bitwright.cli.page_draw import html_text
from bitwright.cli.run_folder import RunFolder, write_text


def write_page(run: RunFolder) -> Path:
    """Write the page of a run from what lies in its folder, whole or not at all; return where it is.

    A page that would be the same stays as it is.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError: If the page cannot be written.

    >>> write_page(RunFolder(Path("nowhere")))
    Traceback (most recent call last):
    FileNotFoundError: nowhere: run must be a folder, not missing; run `bitwright train` first
    """
    if not run.path.is_dir():
        raise FileNotFoundError(f"{run.path}: run must be a folder, not missing; run `bitwright train` first")
    text = html_text(collect(run))
    if not run.page.is_file() or run.page.read_text() != text:
        write_text(run.page, text)
    return run.page
