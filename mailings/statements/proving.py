"""Handing out a statement, and the proof of what it says of one message."""

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from mailings.models import Mailing, Statement, StatementPart
from mailings.statements import making, merkle
from mailings.statements.leaves import COLUMNS, Row
from mailings.statements.making import leaves_of, message_ids
from messages_app.models import Message
from messages_app.sql import has_id


def last_statement(mailing: Mailing) -> Statement | None:
    """Return the last statement of a mailing that is signed; None if there is none yet."""
    return mailing.statements.signed().order_by("-number").first()


def handed_out(statement: Statement) -> dict[str, Any]:
    """Return a statement as it is handed out."""
    return {"statement": json.loads(statement.document), "signature": statement.signature}


def proven(statement: Statement, message: Message) -> dict[str, Any]:
    """Return a statement with the proof of what it says of a message.

    Raises:
        ValidationError: something has changed since it was made.
    """
    for part in statement.parts.filter(lowest__lte=message.pk, highest__gte=message.pk):
        ids = message_ids(part)
        if message.pk in ids:
            proof = _proof(statement, part, ids, message)
            return {**handed_out(statement), "proof": proof}
    raise _outdated()


def _proof(
    statement: Statement, part: StatementPart, ids: list[int], message: Message
) -> dict[str, Any]:
    made = leaves_of(statement)
    found = Message.objects.filter(has_id(ids)).values_list(*COLUMNS)
    rows = {row.pk: row for row in (Row(*values) for values in found)}
    leaves = [made.of(rows[pk]) for pk in ids if pk in rows]
    hashes = [merkle.leaf_hash(leaf.encode()) for leaf in leaves]
    if merkle.root(hashes) != bytes(part.root):
        raise _outdated()
    place = ids.index(message.pk)
    roots = statement.parts.order_by("place").values_list("root", flat=True)
    path = [*merkle.path(hashes, place), *merkle.path(list(map(bytes, roots)), part.place)]
    sender_key = statement.mailing.sender_key
    return {
        "leaf": leaves[place],
        "index": part.place * making.PART + place,
        "path": [each.hex() for each in path],
        "phone_number": message.known_number or None,
        "sender_key": None if sender_key is None else str(sender_key),
    }


def _outdated() -> ValidationError:
    return ValidationError(
        _(
            "Something has become known of its messages since the statement was made. A further "
            "one is made in a few minutes."
        ),
        code="statement_outdated",
    )
