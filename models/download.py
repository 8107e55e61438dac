"""Files of data sets over HTTP: announced, resumed where they broke off, checked by MD5 and renamed when whole."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

TIMEOUT_S = 30
BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file and the place it is fetched from.

    Attributes:
        url: Its address; what stands behind the last slash is the file's name.
        md5: Checksum of the whole file, 32 hexadecimal digits.
    """

    url: str
    md5: str

    @property
    def name(self) -> str:
        """The file's name, the same here as at its home."""
        return self.url.rpartition("/")[2]


def fetch(folder: Path, files: Sequence[RemoteFile], *, download: bool = True, console: Console | None = None) -> None:
    """Bring missing files into a folder.

    What is received stands in ``<name>.part`` until it is whole; the next call resumes there. The folder is made when
    the first byte arrives, and no other file in it is touched.

    Args:
        folder: Where the files belong.
        files: The files that the folder lacks; none is nothing to do.
        download: Whether they may be fetched. If not, their absence is the error.
        console: Where progress is shown; standard error by default.

    Raises:
        FileNotFoundError: If files are missing and ``download`` is false.
        ConnectionError: If a file cannot be fetched: no network, no such file, or a connection that broke.
        ValueError: If a file's MD5 is wrong; its ``.part`` is removed.
        OSError: If the folder cannot be written.
    """
    names = [file.name for file in files]
    if names and not download:
        raise FileNotFoundError(absence(folder, names, "downloads are off"))
    for file in files:
        try:
            _fetch(folder, file, console or Console(stderr=True))
        except ConnectionError as cause:
            raise ConnectionError(absence(folder, names, f"{file.url} could not be fetched ({cause})")) from cause
        except OSError as cause:
            raise OSError(
                f"{folder}: folder must be one that can be written, not {cause.strerror!r}; "
                "name another data folder with --data-dir or BITWRIGHT_DATA"
            ) from cause


def absence(folder: Path, names: Sequence[str], reason: str) -> str:
    """Return the line that says which files a folder lacks, why they are not fetched, and what to do."""
    found = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return (
        f"{folder}: folder must hold {', '.join(names)}, not {found!r}; {reason}: "
        "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA"
    )


def failure(cause: Exception) -> str:
    """Return why a transfer failed, in words of one line."""
    text = str(cause.reason if type(cause) is URLError else cause)
    return " ".join(text.split()) or type(cause).__name__


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes of this machine and user from fetching the same file at the same time.

    The lock does not lie beside the file: the folder is made when the first byte arrives.
    """
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    with (Path(tempfile.gettempdir()) / f"bitwright-{os.getuid()}-{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path, file: RemoteFile, console: Console) -> None:
    with _alone(folder / file.name):
        if not (folder / file.name).is_file():  # another process may have brought it
            _fetch_alone(folder, file, console)


def _fetch_alone(folder: Path, file: RemoteFile, console: Console) -> None:
    part = folder / f"{file.name}.part"
    if not part.is_file() or _md5(part) != file.md5:
        _receive(file, part, console)
    found = _md5(part)
    if found != file.md5:
        part.unlink()
        raise ValueError(
            f"{file.url}: MD5 must be {file.md5}, not {found!r}; "
            f"the bad {part} was removed: try again, or put the right file there as {file.name}"
        )
    part.replace(folder / file.name)


def _receive(file: RemoteFile, part: Path, console: Console) -> None:
    response, start = _open(file.url, part.stat().st_size if part.is_file() else 0)
    with response:
        total = None if response.length is None else start + response.length
        size = "unknown size" if total is None else decimal(total)
        verb = "Resuming" if start else "Fetching"
        announcement = f"{verb} {file.name} from {file.url} ({size}) to {part.parent}"
        console.print(announcement, markup=False, highlight=False, soft_wrap=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if start else "wb") as out, _bar(console) as bar:
            task = bar.add_task(file.name, total=total, completed=start)
            for block in _blocks(response):
                out.write(block)
                bar.advance(task, len(block))
    received = part.stat().st_size
    if total is not None and received < total:
        raise ConnectionError(f"closed after {received} of {total} bytes, kept for the next try")


def _open(url: str, start: int) -> tuple[HTTPResponse, int]:
    """Ask for a file from byte ``start`` on; return the response and the byte it does start at, ``start`` or 0."""
    headers = {"User-Agent": "bitwright", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as cause:
        cause.close()
        if start and cause.code == 416:  # the file ends before `start`: what is here is not the head of it
            return _open(url, 0)
        raise ConnectionError(failure(cause)) from cause
    except (OSError, HTTPException) as cause:
        raise ConnectionError(failure(cause)) from cause
    if start == 0 or response.status == 200:
        return response, 0
    if response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return response, start
    response.close()
    return _open(url, 0)


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read(BLOCK_BYTES):
            yield block
    except (OSError, HTTPException) as cause:  # here only the network can fail; what fails on the disk is the caller's
        raise ConnectionError(failure(cause)) from cause


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
