"""A delivery that notes down what it does, as a process of its own that can be killed."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CODE = """
import json, sys, time
from datetime import datetime
from pathlib import Path
from django.conf import settings

folder, token, mailing, made_at, events = sys.argv[1], *map(json.loads, sys.argv[2:])
settings.configure(SPOOL_DIR=Path(folder), USE_TZ=True)

from messages_app.engine.spool import Spool
from messages_app.engine.records import Claimed, Outcome

moment = datetime.fromisoformat
spool = Spool(token, mailing, made_at and moment(made_at))
for event in events:
    # Ids, as an earlier version noted them down, or all that is known of a claimed message.
    begun = event.get("begun", [])
    if begun and isinstance(begun[0], list):
        spool.begin([Claimed(*whole, "", 1) for whole in begun])
    elif begun:
        spool._write({"begun": begun})
    outcomes = [
        Outcome(**{k: moment(v) if k.endswith("_at") else v for k, v in outcome.items()})
        for outcome in event.get("outcomes", [])
    ]
    spool.answer(event.get("sent", []), outcomes, moment(event["at"]))
print("ready", flush=True)
time.sleep(300)
"""

Event = dict[str, Any]
Die = Callable[..., Path]


@contextmanager
def running_delivery(
    folder: Path, *events: Event, token: int, mailing_id: int, mailing_made_at: str | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run a delivery that notes these events down in the folder, then stands still."""
    arguments = [str(folder), *map(json.dumps, (token, mailing_id, mailing_made_at, events))]
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()
