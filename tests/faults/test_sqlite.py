"""SQLite with as many writers as the product has."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import requests

from tests.faults.conftest import Build
from tests.faults.rest_api import RestApi
from tests.faults.sizes import SEED, size

pytestmark = pytest.mark.faults

WRITERS = 4
SENDERS = 4


def test_nobody_ever_finds_sqlite_locked(build: Build) -> None:
    """Four sending processes, the planner and four clients of the REST API write at once."""
    rounds, number = size(20, 100), size(8_000, 60_000)
    groups = WRITERS * rounds
    installation = build("sqlite")
    installation.add_clients(number, groups=groups)
    installation.start(senders=SENDERS)

    def write(writer: int) -> list[requests.Response]:
        api, dice = installation.rest.another(), Random(f"{SEED} {writer}")
        return [
            answer
            for group in range(writer, groups, WRITERS)
            for answer in _write_a_round(api, dice, group)
        ]

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = [answer for each in pool.map(write, range(WRITERS)) for answer in each]
    installation.figures["REST writes"] = len(answers)
    refusals = [f"{each.status_code} {each.text[:200]}" for each in answers if not each.ok]
    assert refusals == []
    installation.finish_sending(number)
    assert "locked" not in installation.log()


def _write_a_round(api: RestApi, dice: Random, group: int) -> list[requests.Response]:
    """Create a mailing to a group, a client that no mailing is for, and change both."""
    mailing = api.create_mailing(filters={"tag": f"group-{group}"})
    number = str(79_990_000_000 + group)
    client = api.request("POST", "clients/", phone_number=number, tag="nobody")
    return [
        client,
        api.request("PATCH", f"clients/{client.json()['id']}/", tag=f"none-{dice.random()}"),
        api.request("POST", f"mailings/{mailing}/pause/"),
        api.request("POST", f"mailings/{mailing}/resume/"),
        api.request("GET", "mailings/stats/"),
    ]
