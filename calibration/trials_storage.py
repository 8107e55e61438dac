"""Where a study is kept: a database that several processes share, and locks that end with the process holding them."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import optuna
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

SECONDS_TO_ANSWER = 5
SECONDS_TO_WAIT_FOR_A_WRITER = 60
LOCKS_OF_A_STUDY = 1 << 16


class Locks(Protocol):
    """Locks that all processes of a database see; a process that dies, however it dies, lets go of its own."""

    @contextmanager
    def alone(self, study: int) -> Iterator[None]:
        """Keep every other process out of this block; study 0 is the database itself."""

    def hold(self, study: int, worker: int) -> None:
        """Show others that this process is at work, until it closes or dies."""

    def is_held(self, study: int, worker: int) -> bool:
        """Return whether another process holds the lock."""

    def close(self) -> None:
        """Let go of all of them."""


class FileLocks:
    """Locks on bytes of a file beside the database.

    Args:
        path: Of the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")

    @contextmanager
    def alone(self, study: int) -> Iterator[None]:
        """Keep every other process out of this block."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _number(study))
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _number(study))

    def hold(self, study: int, worker: int) -> None:
        """Show others that this process is at work."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _number(study, worker))

    def is_held(self, study: int, worker: int) -> bool:
        """Return whether another process holds the lock."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _number(study, worker))
        except OSError:
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _number(study, worker))
        return False

    def close(self) -> None:
        """Let go of all of them."""
        self._file.close()


class PostgresLocks:
    """Advisory locks of a PostgreSQL session: the server lets go of them when the connection ends.

    Args:
        connection: Of its own, which commits each statement.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def alone(self, study: int) -> Iterator[None]:
        """Keep every other process out of this block."""
        self._do("pg_advisory_lock", _number(study))
        try:
            yield
        finally:
            self._do("pg_advisory_unlock", _number(study))

    def hold(self, study: int, worker: int) -> None:
        """Show others that this process is at work."""
        self._do("pg_advisory_lock", _number(study, worker))

    def is_held(self, study: int, worker: int) -> bool:
        """Return whether another process holds the lock."""
        if not self._do("pg_try_advisory_lock", _number(study, worker)):
            return True
        self._do("pg_advisory_unlock", _number(study, worker))
        return False

    def close(self) -> None:
        """Let go of all of them."""
        self._connection.close()

    def _do(self, function: str, number: int) -> bool:
        return bool(self._connection.execute(text(f"select {function}(:number)"), {"number": number}).scalar())


@contextmanager
def opened(address: str) -> Iterator[tuple[optuna.storages.RDBStorage, Locks]]:
    """Open the database of an Optuna storage URL; what goes wrong with it inside the block is told in one line.

    Args:
        address: ``sqlite:///FILE``, or ``postgresql://USER:PASSWORD@HOST/DATABASE``, which other machines reach, too.

    Raises:
        ValueError: If it is no such URL, or the driver for it is not installed.
        ConnectionError: If the database does not answer within seconds, or not as it should.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    url = _url(address)
    locks: Locks | None = None
    try:
        locks = _locks(url)
        with locks.alone(0):  # two that make the same tables at once would fail
            storage = _storage(url)
        try:
            yield storage, locks
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise ConnectionError(
            f"search: storage must be a database that answers, not {_shown(url)} ({_cause(error)}); "
            + (
                f"move {url.database} away if it is damaged"
                if url.drivername == "sqlite"
                else "start its server, or correct the URL"
            )
        ) from error
    finally:
        if locks is not None:
            with suppress(SQLAlchemyError):  # if the server went away, its locks went with it
                locks.close()


def wait_a_little() -> None:
    """Wait until another process may have finished a trial."""
    time.sleep(0.1)


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        url = None
    if url is not None and url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    if url is not None and url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise ValueError(
        "search: storage must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE, "
        f"not {address if url is None else _shown(url)!r}; correct the URL, or leave it out"
    )


def _locks(url: URL) -> Locks:
    if url.drivername == "sqlite":
        path = Path(str(url.database))
        if not path.parent.is_dir():
            raise ValueError(
                f"search: storage must be in a folder that exists, not in {str(path.parent)!r}; "
                "make the folder, or correct the URL"
            )
        return FileLocks(path.with_name(f"{path.name}.lock"))
    try:
        engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": SECONDS_TO_ANSWER},
        )
    except ImportError as error:
        raise ValueError(
            f"search: driver of {_shown(url)} must be installed, not missing; pip install 'psycopg[binary]'"
        ) from error
    return PostgresLocks(engine.connect())


def _storage(url: URL) -> optuna.storages.RDBStorage:
    arguments = (
        {"timeout": SECONDS_TO_WAIT_FOR_A_WRITER}
        if url.drivername == "sqlite"
        else {"connect_timeout": SECONDS_TO_ANSWER}
    )
    try:
        storage = optuna.storages.RDBStorage(
            url.render_as_string(hide_password=False),
            engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
        )
    except RuntimeError as error:  # which is Optuna's word for tables of another version
        raise ValueError(
            f"search: storage must have tables of Optuna {optuna.__version__}, not {_shown(url)} ({_cause(error)}); "
            "take another database"
        ) from error
    if url.drivername == "sqlite":
        event.listen(storage.engine, "connect", _do_not_wait_for_the_disk)
        storage.engine.dispose()  # of connections made before
    return storage


def _do_not_wait_for_the_disk(connection: Any, _: object) -> None:  # noqa: ANN401 - of any driver
    """Save half of a trial's overhead; a killed process loses nothing by it, only a power cut may."""
    connection.execute("pragma synchronous = off")


def _number(study: int, worker: int = 0) -> int:
    """Return the number of a lock.

    >>> _number(0), _number(2, 3)
    (1651965952, 1652097027)
    """
    return (0x6277 << 16) + study * LOCKS_OF_A_STUDY + worker


def _shown(url: URL) -> str:
    """Return a URL without its password."""
    return unquote(url.set(drivername=url.drivername.replace("+psycopg", "")).render_as_string())


def _cause(error: BaseException) -> str:
    """Return the first line of what the database said itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = str(getattr(error, "orig", None) or error).strip()
    return words.splitlines()[0] if words else type(error).__name__
