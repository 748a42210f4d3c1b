"""Leases: how long they last, and how a delivery takes and ends them."""

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from messages_app.models import Lease, LeasedBatch

LEASE = 6  # length of a lease, in multiples of MESSAGE_SENDER_TIMEOUT
# No request begins in the last part of a lease, so that it ends before the lease does. In
# multiples of MESSAGE_SENDER_TIMEOUT.
LEASE_MARGIN = 1.5


def lease_length() -> timedelta:
    """Return how long a lease lasts: 60 s with a MESSAGE_SENDER_TIMEOUT of 10 s."""
    return LEASE * timedelta(seconds=settings.MESSAGE_SENDER_TIMEOUT)


def seconds_to_begin() -> float:
    """Return for how many seconds of a lease requests may begin."""
    return float((LEASE - LEASE_MARGIN) * settings.MESSAGE_SENDER_TIMEOUT)


def new_lease(mailing_id: int, expires_at: datetime) -> Lease:
    """Return a lease that is not taken yet.

    Its token is below 0, those of earlier versions are above: a trigger keeps their deliveries
    away from mailings whose sender ids they do not know.
    """
    token = -1 - secrets.randbits(63)
    return Lease(token=token, mailing_id=mailing_id, expires_at=expires_at)


def take(leases: Collection[Lease]) -> bool:
    """Save leases. Returns False if one of the mailings was deleted; then none is saved."""
    try:
        with transaction.atomic():
            Lease.objects.bulk_create(leases)
    except IntegrityError:
        return False
    return True


def existing(leases: Collection[Lease]) -> set[int]:
    """Return the tokens of those leases that nobody has reclaimed."""
    tokens = [lease.token for lease in leases]
    return set(Lease.objects.filter(pk__in=tokens).values_list("pk", flat=True))


def end(leases: Collection[Lease]) -> bool:
    """Delete leases with their batches. Returns whether all of them still existed."""
    tokens = [lease.token for lease in leases]
    LeasedBatch.objects.filter(token__in=tokens).delete()
    return Lease.objects.filter(pk__in=tokens).delete()[0] == len(tokens)
