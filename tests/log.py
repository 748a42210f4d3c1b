"""What the programs log, as the fields of its lines in JSON."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mailing_manager_project import log_lines

Event = dict[str, Any]


def formatter(form: str) -> logging.Formatter:
    """Return what writes lines of a form."""
    options = dict(log_lines.configuration(form, "info")["formatters"]["line"])
    made: logging.Formatter = options.pop("()")(**options)
    return made


@contextmanager
def heard(name: str) -> Iterator[list[Event]]:
    """Collect what a logger writes meanwhile."""
    events: list[Event] = []

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append(json.loads(self.format(record)))

    reader = Reader()
    reader.setFormatter(formatter("json"))
    logger = logging.getLogger(name)
    logger.addHandler(reader)
    try:
        yield events
    finally:
        logger.removeHandler(reader)


def read(file: Path) -> list[Event]:
    """Return what a program has written to a file; each line has to be JSON.

    The last one may not be whole yet.
    """
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]]
