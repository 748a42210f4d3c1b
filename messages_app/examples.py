"""Examples of failed messages, one for each reason, found without reading all of a mailing's."""

from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import Max

from messages_app.models import Attempt, Message
from messages_app.sql import Statement, run, table_of

LOOKED_AT = 20_000  # messages, in each of two orders


def examples_of_failures(mailing_id: int, codes: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return {reason: an example of it}, without the reasons of which none was found."""
    if not codes:
        return {}
    found = {code: pk for code, pk in _newest(mailing_id) if code in codes}
    if missing := set(codes) - set(found):
        found |= {code: pk for code, pk in _of_last_clients(mailing_id) if code in missing}
    messages = Message.objects.in_bulk(found.values())
    answers = _last_answers(found.values())
    return {code: _example(messages[pk], answers.get(pk)) for code, pk in found.items()}


def _newest(mailing_id: int) -> Iterable[tuple[str, int]]:
    """Return (reason, a message's id) of those among the newest failed messages of all."""
    return _grouped(
        f"SELECT id, mailing_id, error_code FROM {table_of(Message)} WHERE error_code <> ''"
        " ORDER BY id DESC LIMIT %s",
        [LOOKED_AT, mailing_id],
        "mailing_id = %s",
    )


def _of_last_clients(mailing_id: int) -> Iterable[tuple[str, int]]:
    """Return the same of those among a mailing's messages to its last clients."""
    return _grouped(
        f"SELECT id, error_code FROM {table_of(Message)} WHERE mailing_id = %s"
        " ORDER BY client_id DESC LIMIT %s",
        [mailing_id, LOOKED_AT],
        "error_code <> ''",
    )


def _grouped(looked_at: str, params: list[int], condition: str) -> list[Any]:
    (rows,) = run(
        Statement(
            f"SELECT error_code, max(id) FROM ({looked_at}) AS looked_at WHERE {condition}"
            " GROUP BY error_code",
            params,
        )
    )
    return rows


def _last_answers(message_ids: Collection[int]) -> dict[int, Attempt]:
    log = Attempt.objects.filter(message__in=message_ids)
    numbers = log.order_by().values("message").annotate(last=Max("number"))
    last = {row["message"]: row["last"] for row in numbers}
    return {each.message_id: each for each in log if last[each.message_id] == each.number}


def _example(message: Message, answer: Attempt | None) -> dict[str, Any]:
    return {
        "message": message.pk,
        "error": message.error,
        "http_status": answer.http_status if answer else None,
        "at": answer.began_at if answer else None,
    }
