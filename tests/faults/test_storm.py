"""Everything at once, at random, for a while."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psutil
import pytest
import requests

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

GROUPS = 20
SENDER_FAULTS: tuple[dict[str, float], ...] = (
    {},
    {"unavailable": 1},
    {"throttled": 0.5, "retry_after": 2},
    {"reset_before": 0.1, "reset_after": 0.1},
    {"garbage": 0.1, "wrong_code": 0.1, "server_error": 0.1},
    {"hang": 0.02, "hang_after": 0.02},
    {"token_revoked": True},
)
# Mailings that are neither closed nor sent to everyone.
UNFINISHED = """
SELECT COUNT(*) FROM mailings_mailing AS mailing WHERE success_count IS NULL AND (
    status <> 'running' OR (SELECT COUNT(*) FROM messages_app_message AS message
        WHERE message.mailing_id = mailing.id AND message.status = 'success') < (
        SELECT COUNT(*) FROM clients_client WHERE tag = mailing.filters ->> 'tag'))
"""

# Messages that failed for good though nobody cancelled their mailing.
GIVEN_UP = """
SELECT message.id, error_code FROM messages_app_message AS message
JOIN mailings_mailing AS mailing ON mailing.id = message.mailing_id
WHERE message.status = 'fail' AND mailing.status <> 'cancelled'
"""


def test_a_storm_passes_and_every_message_is_accounted_for(build: Build) -> None:
    """Kills, stops, crashes, cuts and orders of operators at random moments; then calm."""
    seconds, clients = size(60, 900), size(2_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.02, jitter=0.02)
    installation.add_clients(clients, groups=GROUPS)
    installation.start()
    storm = _Storm(installation)
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        storm.strike()
        time.sleep(installation.dice.uniform(0.1, 2.0))
    storm.calm()
    installation.figures |= {"strikes": storm.strikes.total(), **storm.strikes}
    installation.wait_for(lambda: installation.query(UNFINISHED) == [(0,)])
    installation.figures["messages"] = installation.count()
    assert installation.query(GIVEN_UP) == []
    installation.check()


class _Storm:
    """What befalls an installation. Each strike is quick; what it began, another ends."""

    def __init__(self, installation: Site) -> None:
        self.strikes: Counter[str] = Counter()
        self._installation = installation
        self._sleepers: list[psutil.Process] = []
        self._mailings: list[int] = []
        # A list may name a strike more than once: so much more often it comes.
        self._choices: list[Callable[[], None]] = [
            *[self.mailing_created] * 4,
            self.child_killed,
            self.worker_killed,
            self.web_or_clock_killed,
            self.process_stopped,
            self.broker_killed,
            self.broker_flushed,
            self.database_crashed,
            *[self.sender_changed] * 2,
            self.mailing_paused_or_resumed,
            self.mailing_cancelled,
            self.tasks_repeated,
        ]

    def strike(self) -> None:
        """Let one thing happen, and end earlier stops."""
        choice = self._installation.dice.choice(self._choices)
        self.strikes[choice.__name__.replace("_", " ")] += 1
        choice()

    def calm(self) -> None:
        """Put everything right that does not put itself right."""
        self._wake()
        self._installation.sandbox.set_faults()
        for mailing in self._mailings:
            self._installation.wait_for(partial(self._order, mailing, "resume"))

    def mailing_created(self) -> None:
        group = self._installation.dice.randrange(GROUPS)
        with suppress(AssertionError, requests.ConnectionError):
            self._installation.rest.create_mailing(filters={"tag": f"group-{group}"})
        # Also those whose answer was lost.
        self._mailings = [
            pk for (pk,) in self._installation.query("SELECT id FROM mailings_mailing")
        ]

    def child_killed(self) -> None:
        self._wake()
        self._installation.kill_child(self._installation.dice.choice(["messages", "mailings"]))

    def worker_killed(self) -> None:
        self._installation.keeper.kill_tree(
            self._installation.dice.choice(["messages", "mailings"])
        )

    def web_or_clock_killed(self) -> None:
        self._installation.keeper.kill_tree(self._installation.dice.choice(["web", "beat"]))

    def process_stopped(self) -> None:
        self._wake()
        if children := self._installation.keeper.children("messages"):
            sleeper = self._installation.dice.choice(children)
            with suppress(psutil.NoSuchProcess):
                sleeper.suspend()
                self._sleepers.append(sleeper)

    def broker_killed(self) -> None:
        self._installation.kill_broker(self._installation.dice.uniform(0, 3))

    def broker_flushed(self) -> None:
        self._installation.flush_broker()

    def database_crashed(self) -> None:
        self._installation.crash_database(self._installation.dice.uniform(0, 3))

    def sender_changed(self) -> None:
        faults = self._installation.dice.choice(SENDER_FAULTS)
        self._installation.sandbox.set_faults(latency=0.02, jitter=0.02, **faults)

    def mailing_paused_or_resumed(self) -> None:
        if self._mailings:
            verb = self._installation.dice.choice(["pause", "resume"])
            self._order(self._installation.dice.choice(self._mailings), verb)

    def mailing_cancelled(self) -> None:
        if self._mailings:
            self._order(self._installation.dice.choice(self._mailings), "cancel")

    def tasks_repeated(self) -> None:
        for mailing in self._mailings[-5:]:
            self._installation.fire("start_mailing", mailing)
            self._installation.fire("send_message", mailing, queue="messages")
        self._installation.fire("start_mailing")
        self._installation.fire("finish_mailing")

    def _order(self, mailing: int, verb: str) -> bool:
        """Give an order; tell whether it was understood: followed, or refused for good (409)."""
        with suppress(requests.ConnectionError):
            answer = self._installation.rest.request("POST", f"mailings/{mailing}/{verb}/")
            return answer.status_code in (200, 409)
        return False

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            with suppress(psutil.NoSuchProcess):
                sleeper.resume()
        self._sleepers.clear()
