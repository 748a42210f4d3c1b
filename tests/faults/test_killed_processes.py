"""The programs end while they work: by `kill -9`, or as they are asked to."""

import time

import pytest

from tests.faults.conftest import Build
from tests.faults.sizes import size

pytestmark = pytest.mark.faults


def test_processes_are_killed_while_they_send(build: Build) -> None:
    """Kill pool children, then whole workers, while messages are on their way.

    Each kill meets a mailing of its own, at a random moment of its delivery.
    """
    kills, number = size(6, 50), size(3_000, 20_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.02, jitter=0.01)
    installation.add_clients(number, groups=kills)
    installation.start()
    for kill in range(kills):
        installation.send_group(kill, number // kills)
        if kill < kills / 2:
            installation.kill_child(installation.dice.choice(["messages", "messages", "mailings"]))
        else:
            installation.keeper.kill_tree(
                installation.dice.choice(["messages", "messages", "mailings"])
            )
    installation.figures["kills"] = kills
    installation.finish_sending(number)


def test_everything_is_killed_at_once(build: Build) -> None:
    """Kill web server, clock, both workers, broker and database at the same moment, repeatedly."""
    kills, number = size(2, 10), size(2_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.02, jitter=0.01)
    installation.add_clients(number, groups=kills)
    installation.start()
    for kill in range(kills):
        installation.send_group(kill, number // kills)
        for name in ("messages", "mailings", "beat", "web"):
            installation.keeper.kill_tree(name)
        installation.broker_server.kill()
        installation.crash_database()
        time.sleep(installation.dice.uniform(0, 2))
        installation.broker_server.start()
    installation.figures["kills"] = kills
    installation.finish_sending(number)


def test_a_rolling_restart_repeats_nothing(build: Build) -> None:
    """Ask one worker after the other to end while it sends, as a deploy does.

    Two workers share the queue, so that one sends on while the other starts. What is in flight is
    waited for: no request is made twice.
    """
    restarts, number = size(4, 20), size(2_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.02, jitter=0.01)
    installation.add_clients(number, groups=restarts)
    installation.start()
    installation.keeper.keep(installation.keeper.program("messages"), "messages-2")
    for restart in range(restarts):
        name = ("messages", "messages-2")[restart % 2]
        starts = installation.keeper.starts[name]
        installation.send_group(restart, number // restarts)
        installation.keeper.restart(name)
        installation.wait_for(lambda: installation.keeper.starts[name] > starts)  # noqa: B023  # called at once
    installation.figures["restarts"] = restarts
    installation.finish_sending(number)
    assert installation.figures["dropped"] == 0
