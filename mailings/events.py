"""What other programs are told of a mailing, written with the change itself (toolkit.outbox)."""

from collections.abc import Iterable
from typing import Any

from mailings.models import Mailing
from toolkit.outbox.models import Event


def record(what: str, mailings: Iterable[Mailing]) -> None:
    """Record that something happened to mailings, such as "paused", as they are now.

    Call it in the transaction that does it, and after the row is locked: events of one mailing
    then stand in the order of its changes.
    """
    Event.objects.record(f"mailing.{what}", [_told(mailing) for mailing in mailings])


def _told(mailing: Mailing) -> dict[str, Any]:
    """Return what is told of a mailing; its text is nobody's business but REST's."""
    return {
        "id": mailing.pk,
        "external_id": mailing.external_id,
        "status": str(mailing.status),
        "start_time": _iso(mailing.start_time),
        "stop_time": _iso(mailing.stop_time),
        "success": mailing.success_count,
        "fail": mailing.fail_count,
    }


def _iso(moment: Any) -> str:
    text: str = moment.isoformat()
    return text.replace("+00:00", "Z")
