"""A study: messages in one table compared with messages in partitions by mailing.

It runs simplified versions of the engine's statements. With partitions each statement names the
mailing, so that Postgres reads one partition only. docs/scaling.md says what the product's tables
would need.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.utils import CursorWrapper

from messages_app.sql import DISABLED

BATCH = 2000  # messages
# Primary keys; that of a partitioned table must contain the column that it is partitioned by.
KEYS = {"plain": "id", "parted": "id, mailing_id"}
MAKE = """
CREATE TABLE {table} (LIKE messages_app_message INCLUDING DEFAULTS INCLUDING CONSTRAINTS) {how};
CREATE SEQUENCE {table}_ids CACHE 1;
ALTER TABLE {table} ALTER id SET DEFAULT nextval('{table}_ids'), ADD PRIMARY KEY ({key}),
    ADD UNIQUE (mailing_id, client_id);
CREATE INDEX ON {table} (client_id);
CREATE INDEX ON {table} (mailing_id, queued_at) WHERE queued_at IS NOT NULL;
"""
PLAN = """
INSERT INTO {table} (mailing_id, client_id, status, created_at, next_attempt_at, attempts,
    error_code, error, phone_number, is_manual)
SELECT {mailing}, id, {state}, 0, '', '', phone_number, false
FROM clients_client ORDER BY id LIMIT {clients} ON CONFLICT (mailing_id, client_id) DO NOTHING
"""
WAITING, SENT = "'pending', now(), now()", "'success', now(), NULL"
CLAIM = """
WITH due AS (
    SELECT id FROM {table} WHERE mailing_id = {mailing} AND lease_until IS NULL
        AND next_attempt_at <= now() AND queued_at IS NULL AND client_id > {passed}
    ORDER BY mailing_id, client_id LIMIT {batch} FOR UPDATE SKIP LOCKED
)
UPDATE {table} AS message SET lease_token = 1, lease_until = now(), attempts = attempts + 1
FROM due WHERE message.id = due.id {there} RETURNING message.id, client_id
"""
RECORD = """
UPDATE {table} SET status = 'success', sent_at = now(), next_attempt_at = NULL,
    lease_token = NULL, lease_until = NULL
WHERE id = ANY (%s) {there} AND lease_token = 1
"""
FORGET = {"plain": "DELETE FROM plain WHERE mailing_id = 1", "parted": "DROP TABLE parted_1"}


def compare(mailings: int, clients: int) -> dict[str, dict[str, float]]:
    """Send one more mailing after `mailings` others, and delete the first, in both kinds of table.

    Returns:
        {kind of table: {step: microseconds a message}}
    """
    found: dict[str, dict[str, float]] = {}
    for table, key in KEYS.items():
        with connection.cursor() as cursor:
            how = "PARTITION BY RANGE (mailing_id)" if table == "parted" else "WITH (fillfactor=50)"
            cursor.execute(MAKE.format(table=table, how=how, key=key))
            for mailing in range(1, mailings + 2):
                if table == "parted":
                    cursor.execute(
                        f"CREATE TABLE parted_{mailing} PARTITION OF parted"
                        f" FOR VALUES FROM ({mailing}) TO ({mailing + 1}) WITH (fillfactor=50)"
                    )
                if mailing <= mailings:
                    _plan(cursor, table, mailing, clients, SENT)
            cursor.execute(f"VACUUM ANALYZE {table}")
            steps = _send(cursor, table, mailings + 1, clients)
            with _timed(steps, "forget"):
                cursor.execute(FORGET[table])
        found[table] = {step: spent / clients * 1e6 for step, spent in steps.items()}
    return found


def _send(cursor: CursorWrapper, table: str, mailing: int, clients: int) -> dict[str, float]:
    """Plan, claim and record one mailing; return {step: seconds}."""
    steps = {"plan": 0.0, "claim": 0.0, "record": 0.0}
    # In one table this condition would make Postgres use a worse index than that of the ids.
    there = f"AND mailing_id = {mailing}" if table == "parted" else ""
    for name in DISABLED:
        cursor.execute(f"SET {name} = off")  # as the engine does
    with _timed(steps, "plan"):
        _plan(cursor, table, mailing, clients, WAITING)
    # Without statistics Postgres takes a new partition for empty, and chooses any of its indexes.
    cursor.execute(f"ANALYZE {table}")
    passed = 0
    for _ in range(0, clients, BATCH):
        with _timed(steps, "claim"):
            where = {"mailing": mailing, "there": there, "passed": passed}
            cursor.execute(CLAIM.format(table=table, batch=BATCH, **where))
            rows = cursor.fetchall()
            ids = [pk for pk, _ in rows]
            passed = max(client for _, client in rows)
        with _timed(steps, "record"):
            cursor.execute(RECORD.format(table=table, there=there), [ids])
    return steps


def _plan(cursor: CursorWrapper, table: str, mailing: int, clients: int, state: str) -> None:
    cursor.execute(PLAN.format(table=table, mailing=mailing, clients=clients, state=state))


@contextmanager
def _timed(steps: dict[str, float], step: str) -> Iterator[None]:
    began_at = time.perf_counter()
    yield
    steps[step] = steps.get(step, 0.0) + time.perf_counter() - began_at
