"""The database crashes while answers are on their way to it, and stays away."""

import time

import pytest
import requests

from tests.faults.conftest import Build
from tests.faults.sizes import size

pytestmark = pytest.mark.faults


def test_the_database_crashes_between_the_answers_and_their_record(build: Build) -> None:
    """Crash Postgres at random moments; answers come while it is away."""
    crashes, number = size(4, 20), size(2_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.2, jitter=0.2)
    installation.add_clients(number, groups=crashes)
    installation.start(MESSAGE_SENDER_CONCURRENCY=50)
    for crash in range(crashes):
        installation.send_group(crash, number // crashes)
        installation.crash_database(installation.dice.uniform(0, 1.5))
    installation.figures["crashes"] = crashes
    installation.finish_sending(number)


def test_the_database_is_away_for_longer_than_every_timeout(build: Build) -> None:
    """Crash Postgres while messages are sent, and leave it down; the REST API says 503."""
    outage, number = size(15, 90), size(2_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.05)
    installation.add_clients(number)
    installation.start()
    installation.send_group(0, number)
    installation.postgres.crash()
    ends_at = time.monotonic() + outage
    answers: list[requests.Response] = []
    try:
        while time.monotonic() < ends_at:
            answers.append(installation.rest.request("GET", "mailings/"))
            time.sleep(1)
    finally:
        installation.postgres.start()
    assert {answer.status_code for answer in answers} == {503}
    installation.figures["outage, s"] = outage
    installation.finish_sending(number)
    installation.figures["starts of the clock"] = installation.keeper.starts["beat"]
