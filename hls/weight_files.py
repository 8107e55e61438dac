"""The two copies of every constant in a project: C simulation reads one, synthesis the other."""

import re
from pathlib import Path

_ARRAY = re.compile(r"#else\s*[^{]*=\s*\{(?P<values>[^}]*)\}")


def check_weight_texts(project: Path) -> None:
    """Check that every constant has the text file that the simulation reads; without it, C++ ends the process.

    Raises:
        FileNotFoundError: Naming the first that is missing.
    """
    for header in sorted((project / "firmware" / "weights").glob("*.h")):
        if not header.with_suffix(".txt").is_file():
            raise FileNotFoundError(
                f"{header.with_suffix('.txt')}: constants must be there, not missing; "
                "delete the project and write it again"
            )


def check_weight_files(project: Path) -> None:
    """Check that every header under ``firmware/weights`` has the numbers of its text file.

    Raises:
        ValueError: Naming the first file that differs: what was simulated would not be what is synthesised.
    """
    for header in sorted((project / "firmware" / "weights").glob("*.h")):
        text = header.with_suffix(".txt")
        found = _ARRAY.search(header.read_text())
        if found is None or not text.exists():
            continue
        synthesised, simulated = found["values"].split(","), text.read_text().split(",")
        if [float(value) for value in synthesised] != [float(value) for value in simulated]:
            raise ValueError(
                f"{header}: numbers must be those of {text.name}, which the simulation reads, not others; "
                "delete the project and write it again"
            )
