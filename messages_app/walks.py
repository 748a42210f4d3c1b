"""Ways through the messages: along which index a list of them is read, by REST and the console."""

from collections.abc import Iterator

from django.db.models import Q

from toolkit.rest.walking import Leg


def legs_of_mailing(mailing_id: int) -> Iterator[Leg]:
    """Yield the legs of a mailing, which is not deleted: its clients', and those of nobody."""
    of_it = Q(mailing=mailing_id)
    to_clients, to_nobody = of_it & Q(client__isnull=False), of_it & Q(client__isnull=True)
    is_present = Q(mailing__deleted_at=None)
    yield Leg(to_clients, [to_clients & is_present], column="client_id", key=str(mailing_id))
    yield Leg(to_nobody, [to_nobody & is_present], key=f"{mailing_id}.0")


def leg_of_failures() -> Leg:
    """Return the leg of all messages whose last attempt failed, the newest first."""
    has_failed = ~Q(error_code="")
    return Leg(has_failed, [has_failed], key="0.0")
