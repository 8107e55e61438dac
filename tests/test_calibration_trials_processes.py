"""Processes that share a search: none does another's work, and what a killed one began is done again."""

import getpass
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState
from trials_study import score, search, states

from bitwright.calibration.candidate import Candidate, key_of
from bitwright.quant.recipe import Recipe

POSTGRES = next(
    (path for path in (shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))) if path),
    None,
)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


class Processes:
    """Real processes at one study, and the log in which each notes a recipe when it begins to score it."""

    def __init__(self, storage: str, folder: Path) -> None:
        self.storage = storage
        self.log = folder / "log"
        self.log.touch()

    def start(self, trials: int, seconds: float = 0.05) -> subprocess.Popen[str]:
        """Start one, which scores a recipe in so many seconds."""
        command = [sys.executable, "-W", "error", __file__, self.storage, str(trials), str(seconds), str(self.log)]
        own = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}  # which PYTHONSAFEPATH leaves out
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own)

    def scored(self) -> list[str]:
        """The recipes of which scoring began."""
        return self.log.read_text().splitlines()

    def kill_at(self, process: subprocess.Popen[str], scored: int) -> None:
        """Kill a process when scoring of so many recipes has begun, among them its own."""
        end = time.monotonic() + 60
        while len(self.scored()) < scored or not any(line.startswith(f"{process.pid} ") for line in self.scored()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def recipes(self) -> list[str]:
        """The recipes alone."""
        return [line.partition(" ")[2] for line in self.scored()]


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of one's own, which listens on a socket in its folder."""
    if POSTGRES is None:
        pytest.skip("no PostgreSQL server (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="no psycopg")
    folder = Path(tempfile.mkdtemp(prefix="bitwright-pg-"))
    data, programs = folder / "data", Path(POSTGRES).resolve().parent
    become: list[str] = []
    if os.geteuid() == 0:  # which the server refuses to be
        shutil.chown(folder, "postgres")
        become = ["runuser", "-u", "postgres", "--"]
    user = "postgres" if become else getpass.getuser()

    def do(*command: str | Path) -> None:
        subprocess.run([*become, *map(str, command)], check=True, stdout=subprocess.DEVNULL, timeout=60, cwd=folder)

    control = programs / "pg_ctl"
    try:
        do(programs / "initdb", "-D", data, "-U", user, "--auth=trust", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        do(control, "start", "-w", "-D", data, "-l", folder / "log", "-o", options)
        yield f"postgresql://{user}@/postgres?host={folder}"
    finally:
        subprocess.run([*become, control, "stop", "-D", data, "-m", "immediate"], check=False, capture_output=True)
        shutil.rmtree(folder)


def _two_processes_share_a_study(processes: Processes) -> None:
    """Run two at once, and compare what they say with what was scored."""
    running = [processes.start(trials=24) for _ in range(2)]
    ended = [(each.communicate(timeout=120), each.returncode) for each in running]
    assert [(error, code) for (_, error), code in ended] == [("", 0), ("", 0)]
    assert len(set(processes.recipes())) == len(processes.recipes()) == 24
    assert len({line.split()[0] for line in processes.scored()}) == 2, "one process did it all"
    assert {output for (output, _), _ in ended} == {"24 finished\n"}


def _killed_trial_is_tried_again_by_who_is_left(processes: Processes) -> None:
    """Kill one of two in the middle; then the other, and go on."""
    first, second = (processes.start(trials=24, seconds=0.2) for _ in range(2))
    processes.kill_at(first, scored=6)
    processes.kill_at(second, scored=14)
    last = processes.start(trials=24)
    assert (*last.communicate(timeout=120), last.returncode) == ("24 finished\n", "", 0)
    assert len(set(processes.recipes())) == 24
    assert 24 < len(processes.recipes()) <= 26  # what the two killed had begun
    lost = [line.partition(" ")[2] for pid in (first.pid, second.pid) for line in _last_of(processes, pid)]
    assert all(processes.recipes().count(recipe) <= 2 for recipe in set(lost))
    assert states(processes.storage).count(TrialState.COMPLETE) == 24
    assert TrialState.RUNNING not in states(processes.storage)


def _last_of(processes: Processes, pid: int) -> list[str]:
    return [line for line in processes.scored() if line.startswith(f"{pid} ")][-1:]


PROOFS = [_two_processes_share_a_study, _killed_trial_is_tried_again_by_who_is_left]


@pytest.mark.parametrize("proof", PROOFS)
def test_processes_share_a_file(proof: Callable[[Processes], None], storage: str, tmp_path: Path) -> None:
    proof(Processes(storage, tmp_path))


@pytest.mark.parametrize("proof", PROOFS)
def test_processes_share_a_server(proof: Callable[[Processes], None], postgres: str, tmp_path: Path) -> None:
    proof(Processes(postgres, tmp_path))


def test_server_that_goes_away_is_told_in_one_line(postgres: str) -> None:
    folder = Path(postgres.partition("host=")[2])

    def stop(recipe: Recipe) -> Candidate:
        os.kill(int((folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        while list(folder.glob(".s.PGSQL*")):
            time.sleep(0.01)
        return score(recipe)

    message = (
        rf"^search: storage must be a database that answers, not {re.escape(postgres)} \([^\n]*\); "
        "start its server, or correct the URL$"
    )
    with pytest.raises(ConnectionError, match=message):
        search(postgres, trials=3, score=stop)


def _main(storage: str, trials: str, seconds: str, log: str) -> None:
    """Be one process at a study."""

    def slow(recipe: Recipe) -> Candidate:
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()} {key_of(recipe)}\n")
        time.sleep(float(seconds))
        return score(recipe)

    found = search(storage, trials=int(trials), score=slow)
    sys.stdout.write(f"{found.finished} finished\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
