"""Downloads, from a server on this machine."""

import hashlib
import io
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from bitwright.models.download import RemoteFile, fetch

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
REMEDY = "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA"


@dataclass
class Home:
    """A server of one file, ``a.bin``, and how it behaves."""

    address: str
    knows_ranges: bool = True
    answers_from: int | None = None
    breaks_after: int = len(CONTENT)
    asked: list[str | None] = field(default_factory=list)

    def file(self, name: str = "a.bin", md5: str = MD5) -> RemoteFile:
        """A file of this server."""
        return RemoteFile(f"{self.address}/{name}", md5)


@pytest.fixture(name="home")
def serve_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            home.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and home.knows_ranges else 0
            if self.path != "/a.bin" or start >= len(CONTENT):
                self.send_error(416 if start else 404)
                return
            if start and home.answers_from is not None:
                start = home.answers_from
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.end_headers()
            self.wfile.write(CONTENT[start : home.breaks_after])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        home = Home(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield home
        server.shutdown()
        thread.join()


def quiet() -> Console:
    """A console whose text can be read back."""
    return Console(file=io.StringIO(), width=200)


def names(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_is_fetched_into_a_new_folder(tmp_path: Path, home: Home) -> None:
    fetch(tmp_path / "set", [home.file()], console=quiet())
    assert (tmp_path / "set/a.bin").read_bytes() == CONTENT
    assert names(tmp_path / "set") == ["a.bin"]


def test_processes_that_lack_the_same_file_fetch_it_once(tmp_path: Path, home: Home) -> None:
    def bring() -> None:
        fetch(tmp_path / "new", [home.file()], console=Console(file=io.StringIO()))

    several = [threading.Thread(target=bring) for _ in range(4)]
    for each in several:
        each.start()
    for each in several:
        each.join()
    assert (tmp_path / "new" / "a.bin").read_bytes() == CONTENT
    assert home.asked == [None]


def test_fetch_says_what_from_where_and_how_large(tmp_path: Path, home: Home) -> None:
    text = io.StringIO()
    fetch(tmp_path, [home.file()], console=Console(file=text, width=40))
    assert text.getvalue().startswith(f"Fetching a.bin from {home.address}/a.bin (256.0 kB) to {tmp_path}\n")


def test_part_is_resumed(tmp_path: Path, home: Home) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:100_000])
    fetch(tmp_path, [home.file()], console=quiet())
    assert home.asked == ["bytes=100000-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]


def test_server_without_ranges_sends_the_whole_file(tmp_path: Path, home: Home) -> None:
    home.knows_ranges = False
    (tmp_path / "a.bin.part").write_bytes(b"x" * 100)
    fetch(tmp_path, [home.file()], console=quiet())
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_answer_from_another_byte_starts_again(tmp_path: Path, home: Home) -> None:
    home.answers_from = 7
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:100])
    fetch(tmp_path, [home.file()], console=quiet())
    assert home.asked == ["bytes=100-", None]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_part_longer_than_the_file_starts_again(tmp_path: Path, home: Home) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"x")
    fetch(tmp_path, [home.file()], console=quiet())
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_whole_part_is_taken_without_asking(tmp_path: Path, home: Home) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    fetch(tmp_path, [home.file()], console=quiet())
    assert home.asked == []
    assert names(tmp_path) == ["a.bin"]


def test_broken_connection_keeps_the_part(tmp_path: Path, home: Home) -> None:
    home.breaks_after = 1000
    with pytest.raises(
        ConnectionError, match=r"^.* could not be fetched \(.*1000.*\): put the missing files there, .*$"
    ):
        fetch(tmp_path, [home.file()], console=quiet())
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:1000]
    home.breaks_after = len(CONTENT)
    fetch(tmp_path, [home.file()], console=quiet())
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_wrong_checksum_removes_the_part_and_nothing_else(tmp_path: Path, home: Home) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    says = (
        f"{home.address}/a.bin: MD5 must be {'0' * 32}, not '{MD5}'; "
        f"the bad {tmp_path}/a.bin.part was removed: try again, or put the right file there as a.bin"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        fetch(tmp_path, [home.file(md5="0" * 32)], console=quiet())
    assert names(tmp_path) == ["mine"]


def test_file_unknown_to_the_server_is_refused(tmp_path: Path, home: Home) -> None:
    says = (
        f"{tmp_path}: folder must hold b.bin, not []; "
        f"{home.address}/b.bin could not be fetched (HTTP Error 404: Not Found): {REMEDY}"
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(says)}$"):
        fetch(tmp_path, [home.file("b.bin")], console=quiet())


def test_refused_connection_names_every_missing_file(tmp_path: Path, home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    files = [RemoteFile(f"{url}{name}", MD5) for name in ("a.bin", "b.bin")]
    says = f"{tmp_path}/set: folder must hold a.bin, b.bin, not []; {url}a.bin could not be fetched ("
    with pytest.raises(ConnectionError, match=rf"^{re.escape(says)}.*refused\): {REMEDY}$"):
        fetch(tmp_path / "set", files, console=quiet())
    assert names(tmp_path) == []


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path, home: Home) -> None:
    (tmp_path / "set").write_bytes(b"a file")
    says = (
        f"{tmp_path}/set: folder must be one that can be written, not 'File exists'; "
        "name another data folder with --data-dir or BITWRIGHT_DATA"
    )
    with pytest.raises(OSError, match=f"^{re.escape(says)}$"):
        fetch(tmp_path / "set", [home.file()], console=quiet())


def test_downloads_can_be_off(tmp_path: Path, home: Home) -> None:
    says = f"{tmp_path}: folder must hold a.bin, not []; downloads are off: {REMEDY}"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        fetch(tmp_path, [home.file()], download=False)
    assert home.asked == []


def test_nothing_missing_is_nothing_to_do(tmp_path: Path) -> None:
    fetch(tmp_path / "set", [], download=False)
    assert names(tmp_path) == []
