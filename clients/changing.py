"""Changing or deleting all clients that a list's filters find: in steps, as a job."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from clients import tags, tally
from clients.audience import KEYS
from clients.models import Client, ClientChange
from clients.querysets import ClientQuerySet
from toolkit import time_zones
from toolkit.history.models import Deed
from toolkit.history.recording import many, record_deed
from toolkit.jobs.working import Write, work
from toolkit.publishing import publish

TASK = "import_clients"  # whose workers do this, too
CHUNK = 2_000  # clients that one transaction changes
DELETED = 500  # clients that one transaction deletes: each may have hundreds of messages
TIME_BOX = 1.0  # seconds that a task works; then others have their turn

What = ClientChange.What


def found(filters: Mapping[str, str]) -> ClientQuerySet:
    """Return the clients that the list finds by these parameters: exact values, and `q`.

    Raises:
        ValidationError: a value is none that a client can have.
    """
    if any("\0" in text for text in filters.values()):
        raise ValidationError(_("No client is found by that."))
    if filters.get("timezone"):
        time_zones.validate(filters["timezone"])
    clients = Client.objects.filter(
        **{name: filters[name].strip() for name in KEYS if filters.get(name)}
    )
    text = filters.get("q", "").strip()
    return clients.named_by(text) if text else clients


def number_found(filters: Mapping[str, str]) -> int:
    """Return how many clients the list finds by these parameters.

    Raises:
        ValidationError: a value is none that a client can have.
    """
    clients = found(filters)
    if filters.get("q"):
        return clients.count()
    return tally.number_of({key: filters[key].strip() for key in KEYS if filters.get(key)})


def check(what: str, value: str) -> str:
    """Return a value as it is stored.

    Raises:
        ValidationError: there is no such change, or the value cannot be that of a client.
    """
    if what not in What.values:
        raise ValidationError(_("Say what is to be done."))
    if what == What.TAG:
        tags.validate(value.strip())
    if what == What.TIMEZONE:
        time_zones.validate(value)
    return "" if what == What.DELETE else value.strip()


def order_change(
    filters: Mapping[str, str], *, what: str, value: str, number: int, user: Any
) -> ClientChange:
    """Queue a change of all clients that filters find now, of which there are so many.

    Those added later are not changed.

    Raises:
        ValidationError: the value cannot be that of a client.
    """
    value = check(what, value)
    with transaction.atomic():
        last = Client.objects.order_by("-pk").values_list("pk", flat=True).first()
        job = ClientChange.objects.create(
            what=what,
            value=value,
            filters=dict(filters),
            up_to=last or 0,
            number=number,
            created_by=user,
        )
        record_deed(_deed(job), many(Client), details={**_told(job), "ordered": number})
        transaction.on_commit(partial(publish, TASK))
    return job


def change_next() -> bool:
    """Work for a bounded time on the change whose turn it is. Returns whether there is more."""
    return work(ClientChange.objects.all(), _steps, seconds=TIME_BOX, at_end=_record_end)


def tend_changes(*, now: datetime) -> None:
    """Queue what nobody is at work on (the tick), and drop what is old."""
    if ClientChange.objects.is_any_waiting(now):
        publish(TASK)
    ClientChange.objects.ended_before(now - timedelta(days=settings.JOB_DAYS)).delete()


def _steps(job: ClientChange) -> Iterator[Write]:
    """Yield what changes the next clients, in the order of their ids."""
    size = DELETED if job.what == What.DELETE else CHUNK
    while True:
        following = found(job.filters).filter(pk__gt=job.last_id, pk__lte=job.up_to)
        pks = list(following.order_by("pk").values_list("pk", flat=True)[:size])
        if not pks:
            return
        yield partial(_change, job, pks)


def _change(job: ClientChange, pks: list[int]) -> None:
    """Change these clients, if the filters find them still, and note how far the job has come."""
    # Locked in order, so that two at once cannot deadlock.
    chunk = Client.objects.filter(pk__in=pks)
    locked = list(chunk.select_for_update().order_by("pk").values_list("pk", flat=True))
    rows = found(job.filters).filter(pk__in=locked).order_by()
    if job.what == What.DELETE:
        gone = Client.objects.filter(pk__in=list(rows.values_list("pk", flat=True)))
        job.changed += gone.delete()[1].get(Client._meta.label, 0)
    else:
        others = rows.exclude(**{job.what: job.value})
        job.changed += others.update(**{job.what: job.value}, updated_at=timezone.now())
    job.done += len(pks)
    job.last_id = pks[-1]


def _record_end(job: ClientChange) -> None:
    """Record what has come of a change."""
    record_deed(_deed(job), many(Client), details={**_told(job), "changed": job.changed})


def _deed(job: ClientChange) -> Deed:
    return Deed.DELETED if job.what == What.DELETE else Deed.CHANGED


def _told(job: ClientChange) -> dict[str, Any]:
    """Return what history keeps of a change: no searched text, which may be somebody's number."""
    kept = {name: value for name, value in job.filters.items() if name in KEYS and value}
    told: dict[str, Any] = {"filters": kept}
    return told if job.what == What.DELETE else {**told, job.what: job.value}
