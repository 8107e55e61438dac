"""Silencing libraries that report their progress on every stream there is."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Keep what is printed, warned and logged below ``logger`` off the terminal; errors are raised as ever.

    >>> with quiet("somebody"):
    ...     print("Converting ...")
    """
    chatty = logging.getLogger(logger)
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        chatty.setLevel(level)
