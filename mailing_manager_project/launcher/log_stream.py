"""One stream for the lines of many processes, each line under the name of its own."""

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import RLock

from tqdm import tqdm

OURS = "main"
COLOURS = (36, 33, 32, 35, 34, 96, 93)  # the codes of ECMA-48, red left to what went wrong


class LogStream(logging.Handler):
    """Standard output, shared; also the logging handler of this process itself.

    A line stands behind the name of its program, or in JSON has it as `program`. A progress bar
    (tqdm) at the bottom of a terminal stays whole.
    """

    def __init__(self, names: Sequence[str], *, is_json: bool = False) -> None:
        super().__init__()
        self._is_json = is_json
        # tqdm's default lock is for several processes, and starts a process of its own on some.
        tqdm.set_lock(RLock())
        names = (OURS, *names)
        width = max(map(len, names))
        self._prefixes = {name: f"{name:{width}} | " for name in names}
        if has_colour():
            self._prefixes = {
                name: f"\033[{COLOURS[i % len(COLOURS)]}m{prefix}\033[0m"
                for i, (name, prefix) in enumerate(self._prefixes.items())
            }

    def show(self, name: str, line: str) -> None:
        """Write one line of a process; empty ones say nothing."""
        if line:
            self._write(_as_json(name, line) if self._is_json else self._prefixes[name] + line)

    def emit(self, record: logging.LogRecord) -> None:
        """Write what this process logs."""
        for line in self.format(record).splitlines():
            self.show(OURS, line)

    def write(self, text: str) -> None:
        """Write text as it is, and a newline; in JSON as one event."""
        self._write(_as_json(OURS, text) if self._is_json else text)

    @staticmethod
    def _write(text: str) -> None:
        """Write a line; one for which the disk has no room is lost."""
        try:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            # Who was reading is gone: stop as if told so, and do not fail at it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            signal.raise_signal(signal.SIGTERM)
        except OSError:
            pass  # There is nowhere to say so, and no reason to stop sending.


def _as_json(name: str, line: str) -> str:
    """Return a line with the name of its program; what is no JSON yet becomes an event."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        event = {"event": line, "timestamp": datetime.now(UTC).isoformat()}
    return json.dumps({"program": name, **event}, ensure_ascii=False)


def has_colour() -> bool:
    """Tell whether the reader is a terminal that wants colours (see no-color.org)."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
