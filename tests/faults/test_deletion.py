"""A large mailing that was deleted is cleared away, while another one is sent."""

import time

import pytest

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

# A closed mailing to clients whom no other one is for; every tenth message had a second attempt.
ADD_LARGE = """
WITH mailing AS (
    INSERT INTO mailings_mailing (start_time, stop_time, text, filters, status, created_at,
        updated_at, planned_up_to, last_run_time, ledger_at, success_count, fail_count)
    VALUES (now() - interval '2 days', now() - interval '1 day', 'Large', '{{}}', 'finished', now(),
        now(), 0, now(), now(), {number}, 0)
    RETURNING id
), client AS (
    INSERT INTO clients_client (phone_number, operator_code, tag, timezone, created_at, updated_at)
    SELECT (78000000000 + n)::text, '901', 'large', 'UTC', now(), now()
    FROM generate_series(1, {number}) AS n
    RETURNING id, phone_number
), message AS (
    INSERT INTO messages_app_message (mailing_id, client_id, status, created_at, sent_at, attempts,
        error_code, error, phone_number, is_manual, timezone, text_version)
    SELECT mailing.id, client.id, 'success', now(), now(), 1 + (client.id % 10 = 0)::int, '', '',
        phone_number, false, 'UTC', 1
    FROM mailing, client
    RETURNING id, attempts
), attempt AS (
    INSERT INTO messages_app_attempt (message_id, number, error_code, error, is_unclear)
    SELECT id, 1, 'throttled', '', false FROM message WHERE attempts = 2
)
INSERT INTO messages_app_posting (mailing_id, before, after, number, message_ids)
SELECT id, '', 'success||1|UTC', {number}, '' FROM mailing
"""


def test_a_large_mailing_is_cleared_away_while_another_is_sent(build: Build) -> None:
    """Delete a mailing of a million messages, send another, and kill the planner amid both.

    The short form takes about a minute, half of it to make the large mailing. The full form has ten
    million messages, and takes about ten times as long.
    """
    number, others, kills = size(1_000_000, 10_000_000), size(3_000, 30_000), size(1, 3)
    installation = build()
    installation.sandbox.set_faults(latency=0.1, jitter=0.05)
    installation.add_clients(others)
    installation.execute(ADD_LARGE.format(number=number))
    installation.start()
    ((large,),) = installation.query("SELECT id FROM mailings_mailing")

    began_at = time.monotonic()
    installation.rest.call("DELETE", f"mailings/{large}/")
    installation.figures["DELETE, s"] = round(time.monotonic() - began_at, 2)
    installation.rest.create_mailing(filters={"operator_code": "900"})
    for kill in range(1, kills + 1):
        wait_until_left(installation, large, number * (kills + 1 - kill) // (kills + 1))
        installation.keeper.kill_tree("mailings")
    assert left(installation, large), "All was gone before the last kill."
    installation.figures |= {"cleared away": number, "kills": kills}
    installation.wait_for(lambda: len(installation.query("SELECT id FROM mailings_mailing")) == 1)
    assert installation.query("SELECT count(*) FROM messages_app_attempt") == [(0,)]
    installation.finish_sending(others)


def wait_until_left(installation: Site, mailing: int, number: int) -> None:
    """Wait until at most so many messages of a mailing are left."""
    installation.wait_for(lambda: left(installation, mailing) <= number)


def left(installation: Site, mailing: int) -> int:
    """Return how many messages of a mailing are not cleared away yet."""
    return installation.count(f"mailing_id = {mailing}")
