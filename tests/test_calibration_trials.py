"""The search with Optuna: what it finds, and that processes may share it, be killed, and go on."""

import getpass
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from bitwright.calibration import trials_storage
from bitwright.calibration.candidate import Candidate, front, key_of
from bitwright.calibration.moves import Move, uniform
from bitwright.calibration.trials import run_trials
from bitwright.calibration.trials_space import Space
from bitwright.calibration.trials_worker import Found, at_most
from bitwright.quant.recipe import Recipe

LAYERS = {"conv": (150, 0.2, 0.1), "hidden": (4000, 0.05, 0.2), "out": (800, 0.3, 0.0)}
"""Weights of each layer, and the accuracy that 2 bits of weights and of activations cost."""

START = uniform(tuple(LAYERS), 8, 8, 8)
POSTGRES = next(
    (path for path in (shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))) if path),
    None,
)


def score(recipe: Recipe) -> Candidate:
    """A network whose layers lose accuracy on their own: a quarter as much with each further bit."""
    accuracy, bits, operations, before = 0.99, 0, 0, recipe.input_bit_width
    for name, (weights, of_weights, of_activations) in LAYERS.items():
        own = recipe.layers[name]
        width, after = own.weight_bit_width or 0, own.activation_bit_width or 8
        accuracy -= of_weights * 4.0 ** (2 - width) + of_activations * 4.0 ** (2 - after)
        bits += weights * width
        operations += weights * width * before
        before = after
    return Candidate(recipe, max(accuracy, 0.1), bits, operations, None, 3000)


search = partial(
    run_trials, "lenet", score=score, start=START, cost="bit_operations", seed=1, setting="float network 1"
)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


def trials_of(storage: str) -> list[FrozenTrial]:
    """The trials, as Optuna itself tells them."""
    with trials_storage.opened(storage) as (database, _):
        return optuna.load_study(study_name="lenet", storage=database).trials


def states(storage: str) -> list[TrialState]:
    """The states of the trials."""
    return [trial.state for trial in trials_of(storage)]


def true_front() -> list[Candidate]:
    """The best of all recipes there are."""
    space = Space(START, frozenset())
    every = itertools.product(*space.ranges().values())
    return front(
        [score(space.recipe(dict(zip(space.ranges(), widths, strict=True)))) for widths in every], "bit_operations"
    )


def dominated(found: list[Candidate]) -> float:
    """The area of accuracy and cost that a front beats."""
    edges = zip([0.1, *(each.accuracy for each in found)], found, strict=False)
    return sum((each.accuracy - below) * (1 - each.bit_operations / 400_000) for below, each in edges)


def test_front_comes_close_to_the_true_one(storage: str) -> None:
    found = search(storage, trials=60)
    assert found.finished == len({key_of(each.recipe) for each in found.candidates}) == 60
    assert dominated(found.front) > 0.98 * dominated(true_front())


def test_no_point_of_the_front_is_beaten(storage: str) -> None:
    found = search(storage, trials=20)
    for best, other in itertools.product(found.front, found.candidates):
        assert other.accuracy <= best.accuracy or other.bit_operations > best.bit_operations
    assert {key_of(each.recipe) for each in found.front} <= {key_of(each.recipe) for each in found.candidates}


def test_one_process_finds_the_same_with_the_same_seed(tmp_path: Path) -> None:
    first, again, other = (
        search(f"sqlite:///{tmp_path}/{name}.db", trials=16, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_uniform_widths_and_given_recipes_come_first_and_once(storage: str) -> None:
    point = Move("hidden", "weight", 3).apply(START)
    for trials in (3, 9):  # the second goes on
        found = search(
            storage, trials=trials, points=[point, uniform(tuple(LAYERS), 4, 4, 8), uniform(("a",), 4, 4, 8)]
        )
    tried = [each.recipe for each in found.candidates]
    expected = [
        *(Space(START, frozenset()).recipe(Space(START, frozenset()).uniform(w)) for w in (8, 6, 4, 3, 2)),
        point,
    ]
    assert [key_of(each) for each in tried[:6]] == [key_of(each) for each in expected]
    assert len({key_of(each) for each in tried}) == 9


def test_study_goes_on_to_the_wanted_number_of_trials(storage: str) -> None:
    scored: list[Recipe] = []

    def counted(recipe: Recipe) -> Candidate:
        scored.append(recipe)
        return score(recipe)

    assert [search(storage, trials=trials, score=counted).finished for trials in (4, 10, 10, 7)] == [4, 10, 10, 10]
    assert len({key_of(each) for each in scored}) == len(scored) == 10


def test_each_trial_is_told(storage: str) -> None:
    told: list[tuple[Found, Candidate | None]] = []
    found = search(storage, trials=4, taken=lambda now, last: told.append((now, last)))
    assert [now.finished for now, _ in told] == [1, 2, 3, 4]
    assert tuple(last for _, last in told) == found.candidates
    assert told[-1][0] == found


def test_layers_are_left_out_only_where_they_may_be(storage: str) -> None:
    found = search(storage, trials=30, removable=["hidden"])
    widths = {name: {each.recipe.layers[name].weight_bit_width for each in found.candidates} for name in LAYERS}
    assert 0 in widths["hidden"]
    assert all(1 not in seen for seen in widths.values())
    assert 0 not in widths["conv"] | widths["out"]
    assert len({key_of(each.recipe) for each in found.candidates}) == 30


def test_search_ends_when_no_recipe_is_left(storage: str) -> None:
    def cheap(recipe: Recipe) -> Candidate:
        return Candidate(recipe, 0.9, recipe.layers["out"].weight_bit_width or 0, 0, None, 10)

    found = search(storage, trials=100, score=cheap, start=uniform(("out",), 8, 8, 8), cost="weight_bits")
    assert sorted(each.weight_bits for each in found.candidates) == [2, 3, 4, 5, 6, 7, 8]


def test_trials_below_the_target_or_beaten_beyond_doubt_end_at_the_first_look(storage: str) -> None:
    whole: list[Recipe] = []

    def counted(recipe: Recipe) -> Candidate:
        whole.append(recipe)
        return score(recipe)

    def quick(recipe: Recipe) -> Candidate:
        return replace(score(recipe), images=500)

    found = search(storage, trials=30, score=counted, quick=quick, target=0.97)
    assert (found.finished, len(found.candidates)) == (30, len(whole))
    assert found.pruned == states(storage).count(TrialState.PRUNED) > 5
    assert all(at_most(each.accuracy, 500) >= 0.97 for each in found.candidates)
    pruned = [t for t in trials_of(storage) if t.state == TrialState.PRUNED]
    for trial in pruned:
        look = score(Space(START, frozenset()).recipe(trial.params))
        possible = at_most(look.accuracy, 500)
        better = [each for each in found.candidates if each.bit_operations <= look.bit_operations]
        assert possible < 0.97 or any(each.accuracy > possible for each in better)


def test_recipes_that_cannot_be_calibrated_are_passed_over(storage: str) -> None:
    def picky(recipe: Recipe) -> Candidate:
        if recipe.layers["conv"].weight_bit_width == 8:
            raise ValueError("recipe.bias_bit_width: width must be at most 24")
        return score(recipe)

    found = search(storage, trials=6, score=picky)
    assert (len(found.candidates), found.pruned) == (5, 1)


def test_search_ends_when_nothing_can_be_calibrated(storage: str) -> None:
    def broken(recipe: Recipe) -> Candidate:
        raise ValueError("recipe.bias_bit_width: width must be at most 24")

    with pytest.raises(ValueError, match=r"^recipe.bias_bit_width: width must be at most 24$"):
        search(storage, trials=100, score=broken)
    assert len(states(storage)) == 5


def test_interrupted_trial_is_tried_again(storage: str) -> None:
    scored: list[Recipe] = []

    def interrupted(recipe: Recipe) -> Candidate:
        scored.append(recipe)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return score(recipe)

    with pytest.raises(KeyboardInterrupt):
        search(storage, trials=8, score=interrupted)
    assert search(storage, trials=8, score=interrupted).finished == 8
    assert key_of(scored[2]) in {key_of(recipe) for recipe in scored[3:]}


def test_recipe_that_kills_its_process_three_times_is_passed_over(storage: str) -> None:
    def killed(recipe: Recipe) -> Candidate:
        if recipe.layers["conv"].weight_bit_width == 8:
            raise MemoryError
        return score(recipe)

    for _ in range(10):
        try:
            found = search(storage, trials=6, score=killed)
            break
        except MemoryError:
            continue
    assert (len(found.candidates), found.pruned) == (5, 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trials": 0}, "search: trials must be at least 1, not 0; leave it out for the usual number"),
        (
            {"start": uniform(("conv", "out"), 8, 8, 8)},
            "search: layers of study 'lenet' must be ['conv', 'hidden', 'out'] as when it began, not ['conv', 'out']; "
            "take another name",
        ),
        (
            {"cost": "weight_bits"},
            "search: cost of study 'lenet' must be 'bit_operations' as when it began, not 'weight_bits'; "
            "take another name",
        ),
        (
            {"setting": "float network 2"},
            "search: setting of study 'lenet' must be 'float network 1' as when it began, not 'float network 2'; "
            "take another name",
        ),
        (
            {"target": 0.9},
            "search: target of study 'lenet' must be None as when it began, not 0.9; take another name",
        ),
        (
            {"removable": ["hidden"]},
            "search: removable of study 'lenet' must be [] as when it began, not ['hidden']; take another name",
        ),
        (
            {"start": uniform(tuple(LAYERS), 8, 8, 4)},
            "search: input_bit_width of study 'lenet' must be 8 as when it began, not 4; take another name",
        ),
    ],
)
def test_wrong_study_is_refused(storage: str, changed: dict[str, Any], message: str) -> None:
    search(storage, trials=1)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search(storage, **{"trials": 3, **changed})
    assert search(storage, trials=1).finished == 1


def test_study_of_another_program_is_refused(storage: str) -> None:
    with trials_storage.opened(storage) as (database, _):
        optuna.create_study(study_name="lenet", storage=database).add_trial(optuna.trial.create_trial(value=1.0))
    message = (
        "search: study 'lenet' must be one that `bitwright search` began, not another program's; take another name"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search(storage, trials=1)


@pytest.mark.parametrize("address", ["mysql://me:secret@host/db", "study.db", "sqlite://", "sqlite:///:memory:", "://"])
def test_wrong_storage_is_refused(address: str) -> None:
    message = (
        "search: storage must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE, not "
        f"{address.replace('secret', '***')!r}; correct the URL, or leave it out"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search(address, trials=1)


def test_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = (
        "search: driver of postgresql://me:***@host/db must be installed, not missing; pip install 'psycopg[binary]'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search("postgresql://me:secret@host/db", trials=1)


def test_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    message = (
        f"search: storage must be in a folder that exists, not in '{tmp_path}/none'; "
        "make the folder, or correct the URL"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search(f"sqlite:///{tmp_path}/none/study.db", trials=1)


def test_file_that_is_no_database_is_refused(storage: str, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database, " * 100)
    message = (
        f"search: storage must be a database that answers, not {storage} (file is not a database); "
        f"move {tmp_path}/study.db away if it is damaged"
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(message)}$"):
        search(storage, trials=1)


def test_database_of_another_optuna_is_refused(storage: str) -> None:
    search(storage, trials=1)
    with trials_storage.opened(storage) as (database, _), database.engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = 'v1.2.0.a'")
    message = rf"^search: storage must have tables of Optuna 5\.0\.0, not {re.escape(storage)} \(.*\); take another .*$"
    with pytest.raises(ValueError, match=message):
        search(storage, trials=2)


@pytest.mark.parametrize("listens", [False, True])
def test_server_that_does_not_answer_is_given_up_within_seconds(listens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="no psycopg")
    monkeypatch.setattr(trials_storage, "SECONDS_TO_ANSWER", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        url = f"postgresql://me:secret@127.0.0.1:{silent.getsockname()[1]}/db"
        began = time.monotonic()
        message = (
            rf"^search: storage must be a database that answers, not {re.escape(url.replace('secret', '***'))} "
            r"\([^\n]*\); start its server, or correct the URL$"
        )
        with pytest.raises(ConnectionError, match=message):
            search(url, trials=1)
    assert time.monotonic() - began < 10


class Processes:
    """Real processes at one study, and the log in which each notes a recipe when it begins to score it."""

    def __init__(self, storage: str, folder: Path) -> None:
        self.storage = storage
        self.log = folder / "log"
        self.log.touch()

    def start(self, trials: int, seconds: float = 0.05) -> subprocess.Popen[str]:
        """Start one, which scores a recipe in so many seconds."""
        command = [sys.executable, "-W", "error", __file__, self.storage, str(trials), str(seconds), str(self.log)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

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
