"""The points of a study on disk: each is kept as soon as it is finished, and never computed again."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitwright.cli.console import note
from bitwright.cli.run_folder import write_text
from bitwright.cli.versions import installed

Setting = Mapping[str, Any]
"""All that a point depends on beside the float network and the versions; values of JSON."""

Result = Mapping[str, Any]
Row = Mapping[str, Any]


class Store:
    """What a study has found so far, in its JSON file.

    Args:
        path: ``RUN/study/<study>.json``.
        origin: Digest of the float network; points of another, or of other versions, are dropped.

    Raises:
        ValueError: If the file is not one of a study.
    """

    def __init__(self, path: Path, origin: str) -> None:
        self.path = path
        self._head = {"study": path.stem, "network": origin, "versions": installed()}
        self._points: list[tuple[Setting, Result]] = []
        if not path.exists():
            return
        try:
            found = json.loads(path.read_text())
            points: list[tuple[Setting, Result]] = [
                (dict(each["setting"]), dict(each["result"])) for each in found["points"]
            ]
            head = {name: found[name] for name in self._head}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: file must be as `bitwright study` writes it, not another; delete it, and all is computed anew"
            ) from error
        if head == self._head:
            self._points = points

    def get(self, setting: Setting) -> Result | None:
        """Return what was found at a setting, or None."""
        wanted = _plain(setting)
        return next((result for known, result in self._points if known == wanted), None)

    def results(
        self, settings: Sequence[Setting], compute: Callable[[Setting], Result], say: Callable[[Setting, Result], str]
    ) -> list[Result]:
        """Return the result of every setting; compute those that are missing, and keep each at once.

        Args:
            settings: All the points.
            compute: Finds one; its values must be of JSON.
            say: Puts a finished point in words.

        Raises:
            OSError: If the file cannot be written.
        """
        missing = [each for each in settings if self.get(each) is None]
        name = f"study {self.path.stem}"
        if not missing:
            note(f"{name}: all {len(settings)} points are up to date")
        for number, setting in enumerate(missing, 1):
            result = compute(setting)
            self._points.append((_plain(setting), _plain(result)))
            self._write({})
            note(f"{name}: {number} of {len(missing)}: {say(setting, result)}")
        found = [self.get(each) for each in settings]
        return [each for each in found if each is not None]

    def finish(self, asked: Mapping[str, Any], tables: Mapping[str, Sequence[Row]]) -> None:
        """Write the whole file, and each table as CSV beside it.

        Args:
            asked: The settings of the command.
            tables: Rows by the table's name, with the same columns each; ``""`` is the study's own.

        Raises:
            OSError: If a file cannot be written.
        """
        for name, rows in tables.items():
            write_text(self.path.with_name(f"{self.path.stem}{name and '_'}{name}.csv"), _csv(rows))
        self._write({"settings": asked, "tables": {name or self.path.stem: rows for name, rows in tables.items()}})

    def _write(self, more: Mapping[str, Any]) -> None:
        points = [{"setting": setting, "result": result} for setting, result in self._points]
        write_text(self.path, json.dumps({**self._head, **more, "points": points}, indent=2, allow_nan=False) + "\n")


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON gives it back."""
    found = json.loads(json.dumps(value, allow_nan=False))
    assert isinstance(found, dict)
    return found


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
