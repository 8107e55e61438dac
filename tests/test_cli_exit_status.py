"""How commands end: statuses, and one line for each error that a person can cause."""

import pytest
import typer

from bitwright.cli.exit_status import status_of
from bitwright.hls.tool_error import ToolError

LINE = "where: subject must be one thing, not another; change it"


def raising(error: Exception) -> int:
    return status_of(lambda: (_ for _ in ()).throw(error))


@pytest.mark.parametrize("status", [0, 1, 2])
def test_status_is_what_the_work_returns(status: int) -> None:
    assert status_of(lambda: status) == status


@pytest.mark.parametrize("kind", [ValueError, OSError, ToolError])
def test_error_ends_in_its_line_and_status_2(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(kind(LINE)) == 2
    assert capsys.readouterr() == ("", f"{LINE}\n")


def test_error_of_the_system_is_said_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(PermissionError(13, "Permission denied", "x.npy")) == 2
    says = "x.npy: path must be readable and writable, not refused (Permission denied); check it and the space on disk"
    assert capsys.readouterr().err == f"{says}\n"


def test_traceback_is_shown_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_TRACEBACK", "1")
    with pytest.raises(ValueError, match=f"^{LINE}$"):
        raising(ValueError(LINE))


def test_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        raising(KeyError("name"))


def test_aborted_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(typer.Abort()) == 1
    assert capsys.readouterr().err == "Aborted.\n"
