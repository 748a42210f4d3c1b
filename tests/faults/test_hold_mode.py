"""A sender that does not drop repeats: what is unclear is held, never sent again by itself."""

import pytest

from tests.faults.conftest import Build
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

CONCURRENCY = 10
CLOSED = "status = 'success' OR (status = 'fail' AND error_code = 'unconfirmed')"


def test_nobody_gets_a_message_twice_from_a_sender_that_drops_no_repeats(build: Build) -> None:
    """Kill sending processes and cut connections; the sender delivers whatever comes."""
    kills, number = size(6, 30), size(3_000, 20_000)
    installation = build("postgres", "--no-deduplicate")
    installation.sandbox.set_faults(
        latency=0.02, jitter=0.01, reset_before=0.005, reset_after=0.005, garbage=0.005, seed=1
    )
    installation.add_clients(number, groups=kills)
    installation.start(MESSAGE_SENDER_IDEMPOTENT=False, MESSAGE_SENDER_CONCURRENCY=CONCURRENCY)
    interrupted = 0
    for kill in range(kills):
        installation.send_group(kill, number // kills)
        if kill % 2:
            installation.keeper.kill_tree("messages")
            interrupted += 2 * CONCURRENCY
        else:
            installation.kill_child()
            interrupted += CONCURRENCY
    installation.wait_for(lambda: installation.count() == number == installation.count(CLOSED))
    interrupted += sum(installation.sandbox.stats()["faults"].values())
    unconfirmed = installation.count("error_code = 'unconfirmed'")
    installation.figures |= {"kills": kills, "interrupted": interrupted, "unconfirmed": unconfirmed}
    installation.check()
    assert unconfirmed <= interrupted
