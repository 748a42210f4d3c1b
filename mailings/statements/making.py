"""Making a statement: reads all messages of a mailing, a part of the tree in each step.

A step is a transaction of its own, of one part, however many messages a mailing has; what it leaves
behind is the part's root, and which messages it has. Whatever becomes of a message meanwhile, the
statement is given up and begun anew.
"""

import secrets
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any

from django.db import transaction

from mailings.models import Mailing, Statement, StatementPart
from mailings.statements import merkle
from mailings.statements.leaves import (
    COLUMNS,
    FAILED,
    SUCCESS,
    UNCONFIRMED,
    Leaves,
    Row,
    canonical,
    counted,
    utc,
)
from mailings.statements.signing import public_key, signing_key
from messages_app.ledger.posting import packed, unpacked
from messages_app.models import Message
from messages_app.sql import index_scans_only
from toolkit.clock import monotonic

TYPE = "Mailing Manager delivery statement 1"
PART = 4_096  # messages of a part; a power of two (see `merkle`)
# For which nothing has changed before a statement is made: what comes late comes in rows.
QUIET = timedelta(minutes=1)
BEGUN = 200  # statements that one tick begins


def statements_to_make(*, now: datetime) -> list[int]:
    """Begin the statements that are due; return the ids of all that are not made to the end."""
    for pk in Mailing.objects.to_state(now - QUIET).values_list("pk", flat=True)[:BEGUN]:
        begin(pk, now=now)
    return list(Statement.objects.unsigned().values_list("pk", flat=True))


def begin(mailing_id: int, *, now: datetime) -> Statement | None:
    """Begin the next statement of a mailing; return the last one where nothing has changed since.

    None if the mailing is not closed, or was deleted.
    """
    with transaction.atomic():
        statements = Statement.objects.filter(mailing=mailing_id).order_by("-number")
        last = statements.select_for_update(
            no_key=True
        ).first()  # before the mailing, as in `_step`
        closed = Mailing.objects.closed().filter(pk=mailing_id)
        mailing = closed.select_for_update(no_key=True).first()
        if mailing is None or (last and mailing.result_changed_at is None):
            return last if mailing else None
        mailing.result_changed_at = None
        mailing.save(update_fields=["result_changed_at"])
        statements.unsigned().delete()
        return Statement.objects.create(
            mailing=mailing,
            number=mailing.statements.count() + 1,
            salt_key=secrets.token_bytes(32),
            begun_at=now,
        )


def make(statement_id: int, *, now: datetime, ends_at: float) -> bool:
    """Go on making a statement until `ends_at` of `monotonic`. Returns whether there is more."""
    while _step(statement_id, now):
        if monotonic() > ends_at:
            return True
    return False


def _step(statement_id: int, now: datetime) -> bool:
    """Take in a part, or sign. Of several calls at once one does it and the others return False."""
    with transaction.atomic():
        unsigned = Statement.objects.unsigned().filter(pk=statement_id)
        statement = unsigned.select_for_update(skip_locked=True, no_key=True).first()
        if statement is None:
            return False
        if rows := _next_rows(statement):
            _take_in(statement, rows)
        if len(rows) == PART:
            return True
        _sign(statement, now)
        return False


def _next_rows(statement: Statement) -> list[Row]:
    """Return the next messages, a part of them; fewer if no more are left.

    First those to clients, along the index, then those of which the client was deleted.
    """
    messages = Message.objects.filter(mailing=statement.mailing_id)
    with index_scans_only():
        clients = messages.filter(client__gt=statement.last_client)
        following = clients.order_by("mailing_id", "client_id").values_list(*COLUMNS)
        rows = [Row(*values) for values in following[:PART]]
        if rows:
            statement.last_client = rows[-1].client_id or 0
        taken = {row.pk for row in rows}
        while len(rows) < PART:
            nobody = messages.filter(client=None, pk__gt=statement.last_to_nobody).order_by("pk")
            chunk = [Row(*values) for values in nobody.values_list(*COLUMNS)[: PART - len(rows)]]
            if not chunk:
                break
            statement.last_to_nobody = chunk[-1].pk
            # Their clients may have been deleted since they were taken in.
            known = taken | _known(statement, [row.pk for row in chunk])
            rows += [row for row in chunk if row.pk not in known]
    return rows


def _known(statement: Statement, ids: Sequence[int]) -> set[int]:
    """Return which of some messages, by ascending id, were taken in."""
    parts = statement.parts.filter(lowest__lte=ids[-1], highest__gte=ids[0])
    known: set[int] = set()
    for part in parts.iterator(chunk_size=100):
        known |= set(ids).intersection(message_ids(part))
    return known


def _take_in(statement: Statement, rows: list[Row]) -> None:
    leaves = leaves_of(statement)
    ids = [row.pk for row in rows]
    StatementPart.objects.create(
        statement=statement,
        place=sum(statement.counts.values()) // PART,
        root=merkle.root([merkle.leaf_hash(leaves.of(row).encode()) for row in rows]),
        message_ids=_packed(ids),
        lowest=min(ids),
        highest=max(ids),
    )
    statement.counts = dict(counted(rows) + Counter(statement.counts))
    ends = (statement.first_sent_at, statement.last_sent_at)
    times = [at for at in (*ends, *(row.sent_at for row in rows)) if at]
    statement.first_sent_at = min(times, default=None)
    statement.last_sent_at = max(times, default=None)
    statement.save()


def leaves_of(statement: Statement) -> Leaves:
    """Return what makes the leaves of a statement."""
    return Leaves(bytes(statement.salt_key), statement.mailing.sender_key)


def _sign(statement: Statement, now: datetime) -> None:
    """Sign a statement; drop it if something has changed meanwhile, or the mailing is gone."""
    mailing = Mailing.objects.filter(pk=statement.mailing_id).select_for_update(no_key=True).first()
    if mailing is None or mailing.result_changed_at:
        statement.delete()
        return
    former = mailing.statements.signed().order_by("-number").first()
    key = signing_key(now=now)
    statement.document = canonical(
        {**_said(mailing, statement, former), "key": public_key(key), "made_at": utc(now)}
    )
    statement.signature = b64encode(key.sign(statement.document.encode())).decode()
    statement.signed_at = now
    statement.save()
    # Proofs are given of the last one.
    StatementPart.objects.filter(
        statement__mailing=mailing, statement__number__lt=statement.number
    ).delete()


def _said(mailing: Mailing, statement: Statement, former: Statement | None) -> dict[str, Any]:
    parts = statement.parts.order_by("place").values_list("root", flat=True)
    numbers = _numbers(statement.counts)
    total = sum(statement.counts.values())
    return {
        "type": TYPE,
        "mailing": {
            "id": mailing.pk,
            "external_id": mailing.external_id,
            "status": str(mailing.status),
            "start_time": utc(mailing.start_time),
            "stop_time": utc(mailing.stop_time),
        },
        "number": statement.number,
        "follows": former and {"number": former.number, "sha256": _hash(former.document)},
        "messages": {
            "audience": total,
            "success": numbers[SUCCESS].total(),
            "failed": dict(numbers[FAILED]),
            "unconfirmed": numbers[UNCONFIRMED].total(),
        },
        "sent": {
            "first_at": statement.first_sent_at and utc(statement.first_sent_at),
            "last_at": statement.last_sent_at and utc(statement.last_sent_at),
        },
        "texts": _texts(mailing, numbers[SUCCESS]),
        "tree": {
            "hash": "SHA-256, RFC 6962",
            "size": total,
            "root": merkle.root(list(map(bytes, parts))).hex(),
        },
    }


def _numbers(counts: Mapping[str, int]) -> dict[str, Counter[str]]:
    """Return the messages by outcome: accepted ones by version of the text, others by reason."""
    numbers: dict[str, Counter[str]] = {each: Counter() for each in (SUCCESS, FAILED, UNCONFIRMED)}
    for key, number in counts.items():
        outcome, reason, version = key.split("|")
        numbers[outcome][version if outcome == SUCCESS else reason] += number
    return numbers


def _texts(mailing: Mailing, accepted: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the texts that were accepted; of one that an earlier release replaced no hash."""
    known = dict(mailing.former_texts.values_list("version", "text"))
    known[mailing.text_version] = mailing.text
    return [
        {
            "version": version,
            "sha256": _hash(known[version]) if version in known else None,
            "success": accepted[str(version)],
        }
        for version in sorted(map(int, accepted))
    ]


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _packed(ids: Sequence[int]) -> bytes:
    """Return ids as they are stored: by how much each differs from the one before, compressed."""
    steps = [after - before for before, after in pairwise([0, *ids])]
    return zlib.compress(packed(steps))


def message_ids(part: StatementPart) -> list[int]:
    """Return the ids of a part's messages, in the order of the tree."""
    return list(accumulate(unpacked(zlib.decompress(bytes(part.message_ids)))))
