"""Programs that sleep past their lease, and work that is asked for again and again."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.conftest import Build
from tests.faults.installation import wrong_clock
from tests.faults.sizes import REQUEST_TIMEOUT, size

pytestmark = pytest.mark.faults

QUIET = 3  # seconds in which something that is not to happen would have happened


def test_a_sending_process_that_slept_past_its_lease_sends_nothing_more(build: Build) -> None:
    """Stop a sending process amid its work; wake it when others have done all of it."""
    times, number = size(1, 5), size(1_000, 5_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.1, jitter=0.05)
    installation.add_clients(number, groups=times)
    installation.start()
    for each in range(times):
        installation.send_group(each, number // times)
        sleeper = installation.dice.choice(installation.keeper.children("messages"))
        sleeper.suspend()
        so_far = (each + 1) * (number // times)
        try:
            installation.wait_for_count(so_far, "status = 'success'")
            before = len(installation.sends())
        finally:
            sleeper.resume()
        time.sleep(QUIET)
        assert len(installation.sends()) == before
    installation.figures["stops"] = times
    installation.finish_sending(number)


def test_three_clocks_send_nothing_twice(build: Build) -> None:
    """Three beats tick at once; one mailing is due, others begin in a few seconds."""
    number, mailings = size(2_000, 10_000), 4
    installation = build()
    installation.add_clients(number, groups=mailings)
    installation.start()
    beat = installation.keeper.program("beat")
    for name in ("second beat", "third beat"):
        installation.keeper.keep(beat, name)
    for group in range(mailings):
        start = timedelta(seconds=3 * group)
        installation.rest.create_mailing(start=start, filters={"tag": f"group-{group}"})
    installation.finish_sending(number)
    assert installation.figures["dropped"] == 0


def test_clocks_that_are_minutes_apart_change_nothing(build: Build) -> None:
    """Run each program with a clock of its own, two minutes early or late; the database's is right.

    One mailing begins and ends at its times, another is sent by workers each of whom takes the
    other's leases for ended, or for endless.
    """
    number, error = size(2_000, 10_000), 120
    installation = build()
    installation.sandbox.set_faults(latency=0.2)
    installation.add_clients(number, groups=2)
    clocks = {"web": error, "beat": -error, "mailings": error, "messages": -error}
    installation.start(clocks=clocks)
    installation.keeper.keep(
        installation.keeper.program("messages"), "messages-2", extra=wrong_clock(error)
    )

    start = datetime.now(UTC) + timedelta(seconds=5)
    installation.rest.create_mailing(start=timedelta(seconds=5), filters={"tag": "group-0"})
    installation.wait_for_sent(number // 2)
    assert min(send.at for send in installation.sends()) >= start.timestamp()

    stop = datetime.now(UTC) + timedelta(seconds=4)
    installation.rest.create_mailing(stop=timedelta(seconds=4), filters={"tag": "group-1"})
    installation.wait_for(lambda: installation.mailing()[0] == "finished")
    assert number // 2 < installation.sent() < number
    assert max(send.at for send in installation.sends()) <= stop.timestamp() + REQUEST_TIMEOUT
    installation.check()
    assert installation.figures["dropped"] == 0


def test_work_that_is_asked_for_a_hundred_times_is_done_once(build: Build) -> None:
    """Queue start_mailing ten times and one doorbell a hundred times, all at once."""
    number = size(3_000, 20_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.02, jitter=0.01)
    installation.add_clients(number)
    installation.start()
    mailing = installation.rest.create_mailing()
    for _ in range(10):
        installation.fire("start_mailing", mailing)
    for _ in range(100):
        installation.fire("send_message", mailing, queue="messages")
    installation.finish_sending(number)
    assert installation.figures["dropped"] == 0


def test_a_planner_that_is_killed_leaves_nobody_out(build: Build) -> None:
    """Kill the planner at random moments of a large mailing's planning."""
    kills, number = size(2, 5), size(50_000, 1_000_000)
    installation = build()
    installation.add_clients(number)
    installation.start(MESSAGE_SENDER_CONCURRENCY=100)
    installation.rest.create_mailing()
    for kill in range(kills):
        planned = int(number * (kill + installation.dice.random()) / kills * 0.9)
        installation.wait_for_count(planned)
        installation.keeper.kill_tree("mailings")
    installation.figures["kills"] = kills
    installation.finish_sending(number)
