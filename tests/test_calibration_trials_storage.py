"""Storages that a search cannot use: each is refused in one line, and soon."""

import re
import socket
import sys
import time
from pathlib import Path

import pytest
from trials_study import search

from bitwright.calibration import trials_storage


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


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
