"""A sender that turns slow while messages go out, and then somebody says stop.

All requests are open then, and none is answered for seconds: a delivery has nothing to do but to
look up.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

REQUEST_TIMEOUT = size(4, 10)  # seconds, MESSAGE_SENDER_TIMEOUT here
SLOW = REQUEST_TIMEOUT - 1  # seconds before each answer
SENDERS = 2
STILL = 10  # looks at the sender between which nothing begins: all requests are open
HEARD = 1.0  # seconds from the answer to an operator until nothing begins any more
# Seconds that a worker takes to end besides the answers that it waits for; main.py grants 10.
ENDED = 8.0


@pytest.mark.parametrize("word", ["pause", "cancel", "pause of all sending"])
def test_nothing_begins_after_the_operators_word(build: Build, word: str) -> None:
    """Pause or cancel a mailing, or pause all sending, once the sender has turned slow."""
    number = size(20_000, 60_000)
    installation, mailing = _turned_slow(build(), number)
    if word == "pause of all sending":
        installation.rest.call("PATCH", "sender/", is_paused=True)
    else:
        installation.rest.command(mailing, word)
    heard_at = time.time() + HEARD
    # What is to be seen is that nothing comes, which no condition can tell.
    time.sleep(HEARD + 2 * SLOW)
    late = [send for send in installation.sends() if send.at > heard_at]
    assert late == []
    assert installation.count("lease_until IS NOT NULL") == 0
    assert 0 < installation.sent() < number, "There was nothing to stop."

    installation.sandbox.set_faults()
    if word == "cancel":
        installation.wait_for(lambda: installation.mailing()[1] is not None)
        installation.check()
    else:
        if word == "pause":
            installation.rest.command(mailing, "resume")
        else:
            installation.rest.call("PATCH", "sender/", is_paused=False)
        installation.finish_sending(number)
    assert installation.figures["dropped"] == 0


def test_a_restart_repeats_nothing_and_leaves_nothing_unconfirmed(build: Build) -> None:
    """End a worker as a deploy does, and start it again; the sender drops no repeats."""
    restarts, number = size(3, 10), size(20_000, 100_000)
    site = build("postgres", "--no-deduplicate")
    installation, _ = _turned_slow(site, number, is_idempotent=False)
    worker = installation.keeper.program("messages")
    for restart in range(restarts):
        if restart:
            installation.keeper.keep(worker)
            _turn_slow(installation)
        with _ended_in_time(installation):
            installation.keeper.end("messages")
        # All that was open is written, and all that waited was given back.
        assert installation.count("lease_until IS NOT NULL OR error_code = 'unconfirmed'") == 0
        assert installation.count("status = 'success'") == installation.sent() < number
        installation.sandbox.set_faults(latency=0.01)
    installation.figures["restarts"] = restarts
    installation.sandbox.set_faults()
    installation.keeper.keep(worker)
    installation.finish_sending(number)


def _turned_slow(
    installation: Site, number: int, *, is_idempotent: bool = True
) -> tuple[Site, int]:
    """Start an installation, and return it with its mailing when all its requests hang."""
    installation.sandbox.set_faults(latency=0.01)
    installation.add_clients(number)
    installation.start(
        senders=SENDERS,
        MESSAGE_SENDER_CONCURRENCY="auto",
        MESSAGE_SENDER_TIMEOUT=REQUEST_TIMEOUT,
        MESSAGE_SENDER_IDEMPOTENT=is_idempotent,
    )
    mailing = installation.rest.create_mailing()
    _turn_slow(installation)
    return installation, mailing


def _turn_slow(installation: Site) -> None:
    """Have the sender turn slow amid the delivery; wait until every request is open."""
    installation.wait_for_sent(installation.sent() + 500)
    installation.sandbox.set_faults(latency=SLOW)
    seen: list[int] = []

    def stand_still() -> bool:
        seen.append(installation.sandbox.stats()["in_flight"])
        return len(seen) > STILL and len({*seen[-STILL:]}) == 1 and seen[-1] > 0

    installation.wait_for(stand_still)


@contextmanager
def _ended_in_time(installation: Site) -> Iterator[None]:
    """Check that a worker, asked to end, begins nothing more, and ends after its last answer."""
    asked_at = time.time()
    yield
    seconds = time.time() - asked_at
    assert [send for send in installation.sends() if send.at > asked_at + HEARD] == []
    assert seconds < REQUEST_TIMEOUT + ENDED
    installation.figures["slowest end, s"] = max(
        round(seconds, 1), float(str(installation.figures.get("slowest end, s", 0)))
    )
