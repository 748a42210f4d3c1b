"""An installation at work for long: no request fails, and nothing that it holds grows.

SOAK_MINUTES says for how long, if not the size of the suite does.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import count
from statistics import median
from typing import Any

import psutil
import pytest
import redis

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.rest_api import RestApi
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

SECONDS = 60 * float(os.environ.get("SOAK_MINUTES", size(1, 20)))
WARM_UP = SECONDS / 3  # after which nothing may grow
CALLERS = 8
GROUP = 200  # clients that each mailing goes to
LOOK_EVERY = 1.0  # seconds

# What may be more at the end than after the warm-up: a share of it, or so much where that is more.
SLACK = {"MB": (0.15, 15.0), "files": (0.1, 10.0), "connections": (0.1, 5.0)}
READS = (
    *("mailings/", "mailings/{mailing}/", "mailings/{mailing}/timeline/", "mailings/stats/"),
    *("messages/?mailing={mailing}", "messages/count/?mailing={mailing}&status=success"),
    *("messages/changes/?after={cursor}", "clients/?tag=others", "clients/stats/", "history/"),
    "sender/",
)
EXPORTS = ("clients/export.csv?tag=others", "mailings/{mailing}/results.ndjson")
EXPORTERS = 2  # callers; more at once may be told to come back
ACTIVITY = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"

Look = dict[tuple[str, str], float]  # {(program, what it holds): how much}


class Caller:
    """A program that has mailings sent, one after the other, and reads and writes meanwhile."""

    def __init__(self, rest: RestApi, number: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.mailings = 0
        self._rest, self._number = rest, number
        self._reads = READS + EXPORTS if number < EXPORTERS else READS
        self._cursor = "latest"

    def work(self, until: float) -> None:
        """Call until a time of the monotonic clock; the last mailing is seen to its end."""
        while time.monotonic() < until:
            self.mailings += 1
            mailing = self._rest.create_mailing(filters={"tag": f"group-{self._number}"})
            for step in count():
                self._read(mailing, self._reads[step % len(self._reads)])
                self._write(step)
                if self._call("GET", f"mailings/{mailing}/stats/")["is_complete"]:
                    break
            self._call("POST", f"mailings/{mailing}/finish/")

    def _read(self, mailing: int, path: str) -> None:
        found = self._call("GET", path.format(mailing=mailing, cursor=self._cursor))
        if "changes" in path:
            self._cursor = found["next"]

    def _write(self, step: int) -> None:
        number = f"791{self._number}{step % 1000:07}"
        client = self._call("POST", "clients/", phone_number=number, tag="others")["id"]
        self._call("PATCH", f"clients/{client}/", tag=f"others {step}")
        self._call("DELETE", f"clients/{client}/")

    def _call(self, method: str, path: str, **fields: object) -> dict[str, Any]:
        answer = self._rest.request(method, path, **fields)
        self.statuses[answer.status_code] += 1
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        found: dict[str, Any] = answer.json() if is_json else {}
        return found


def test_nothing_fails_and_nothing_grows_in_the_long_run(build: Build) -> None:
    installation = build()
    installation.sandbox.set_faults(latency=0.05)
    installation.add_clients(CALLERS * GROUP, groups=CALLERS)
    installation.start(API_RATE="")
    callers = [Caller(installation.rest.another(), number) for number in range(CALLERS)]
    began_at = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as pool:
        work = [pool.submit(caller.work, began_at + SECONDS) for caller in callers]
        looks = list(_looks(installation, work))
    for done in work:
        done.result()

    settled = [look for at, look in looks if at > began_at + WARM_UP]
    third = len(settled) // 3
    grown = _growth(settled[:third], settled[-third:])
    installation.figures |= {f"{program}, {what}": told for (program, what), told in grown.items()}
    installation.figures["requests"] = sum(sum(caller.statuses.values()) for caller in callers)
    assert {name: told for name, told in grown.items() if _is_more(name[1], *told)} == {}
    assert not installation.keeper.starts - Counter(dict.fromkeys(installation.keeper.starts, 1))
    installation.finish_sending(GROUP * sum(caller.mailings for caller in callers))


def _looks(installation: Site, work: list[Future[None]]) -> Iterator[tuple[float, Look]]:
    """Yield a time, and what everything holds then, as long as the callers work."""
    while wait(work, LOOK_EVERY).not_done:
        yield time.monotonic(), _look(installation)


def _look(installation: Site) -> Look:
    found: Look = {}
    for name in installation.keeper.starts:
        process = installation.keeper.process(name)
        held = [_held(each) for each in [process, *installation.keeper.children(name)]]
        found[name, "MB"] = sum(memory for memory, _ in held)
        found[name, "files"] = sum(files for _, files in held)
    with redis.Redis.from_url(installation.broker_server.url) as broker:
        found["redis", "MB"] = broker.info("memory")["used_memory"] / 1e6
    found["Postgres", "connections"] = installation.query(ACTIVITY)[0][0]
    return found


def _held(process: psutil.Process) -> tuple[float, int]:
    """Return a process's memory in MB, and its open files, sockets included."""
    with suppress(psutil.NoSuchProcess):
        return process.memory_info().rss / 1e6, process.num_fds()
    return 0.0, 0


def _growth(first: list[Look], last: list[Look]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return what was held in the middle of the first looks, and of the last."""
    return {
        name: (
            round(median(look[name] for look in first), 1),
            round(median(look[name] for look in last), 1),
        )
        for name in first[0]
    }


def _is_more(what: str, before: float, after: float) -> bool:
    share, least = SLACK[what]
    return after > before + max(share * before, least)
