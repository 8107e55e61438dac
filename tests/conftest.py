"""Fixtures that several files share: runs of the whole road, made once a session."""

import shutil
from pathlib import Path

import pytest
from road import CONFIGS, SMALL, Bitwright, Outcome

from bitwright.cli.main import run


@pytest.fixture
def bitwright(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bitwright:
    """Run a command line in this process."""

    def command(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr("sys.argv", ["bitwright", *map(str, arguments)])
        status = 0
        try:
            run()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return command


def _run(config: str, runs: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        for stage in ("train", "export", "hls"):
            patch.setattr("sys.argv", ["bitwright", stage, str(CONFIGS / config), "--runs-dir", str(runs), *SMALL])
            with pytest.raises(SystemExit) as stop:
                run()
            assert not stop.value.code
    return runs / Path(config).stem


@pytest.fixture(scope="session")
def _fixed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run("digits_mlp_w6a6.toml", tmp_path_factory.mktemp("fixed"))


@pytest.fixture(scope="session")
def _binary_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run("digits_mlp_w1a1.toml", tmp_path_factory.mktemp("binary"))


@pytest.fixture(scope="session")
def _float_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("float")
    with pytest.MonkeyPatch.context() as patch:
        config = CONFIGS / "digits_mlp_float.toml"
        patch.setattr("sys.argv", ["bitwright", "train", str(config), "--runs-dir", str(runs), *SMALL])
        with pytest.raises(SystemExit) as stop:
            run()
        assert not stop.value.code
    return runs / "digits_mlp_float"


@pytest.fixture
def fixed_run(_fixed_run: Path, tmp_path: Path) -> Path:
    """A finished run of the default experiment, small, trained for two epochs; a copy for each test."""
    return Path(shutil.copytree(_fixed_run, tmp_path / "runs" / _fixed_run.name))


@pytest.fixture
def binary_run(_binary_run: Path, tmp_path: Path) -> Path:
    """The same of its binary twin."""
    return Path(shutil.copytree(_binary_run, tmp_path / "runs" / _binary_run.name))


@pytest.fixture
def float_run(_float_run: Path, tmp_path: Path) -> Path:
    """A float run, small, trained for two epochs; a copy for each test."""
    return Path(shutil.copytree(_float_run, tmp_path / "runs" / _float_run.name))
