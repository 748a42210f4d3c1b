"""Home: where this database lives, and what a copy of it does while its original is at work.

A database remembers where it lives (Home). One that finds itself elsewhere is a copy, or was
restored: it says so and goes on by itself. If its original is at work on the same broker, it first
waits until that is over. See docs/adr/0018-restored-copies.md.
"""

import logging
import os
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.backends.signals import connection_created
from django.db.models import Max
from kombu.exceptions import OperationalError

from messages_app.models import Heartbeat, Home, SendingControl
from messages_app.sending.control import is_held_back
from toolkit.clock import monotonic

CHECK_INTERVAL = 5.0  # seconds between two checks of a process
NOTICE = timedelta(days=1)  # how long operators are told that the database was restored
SIGNS_OF_WORK = ("start_mailing", "send_message")  # heartbeats of workers; beat's comes too early
BROKER_TIMEOUT = 1.0  # seconds
# Any role may ask for the first in a Postgres as it is installed; the others tell databases of one
# server apart, and one that was put back table by table.
SYSTEM = "SELECT system_identifier FROM pg_control_system()"
MAY_READ_SYSTEM = "SELECT has_function_privilege('pg_control_system()', 'execute')"
PLACE = "SELECT oid, %s::regclass::oid FROM pg_database WHERE datname = current_database()"

logger = logging.getLogger(__name__)

_check_at = 0.0  # of `monotonic`


def check(*, now: datetime) -> None:
    """Notice a database that was copied or restored, and hold a copy back if it has to be.

    Every worker's task calls it before anything else; it does something once in CHECK_INTERVAL,
    and on a new connection, which may lead to another database.
    """
    global _check_at
    if monotonic() < _check_at:
        return
    _check_at = monotonic() + CHECK_INTERVAL
    home = _settle(_fingerprint(), now)
    if seconds := _exchange_signs(home, now):
        _hold_back(now + timedelta(seconds=seconds), now)


def restored_at(now: datetime) -> datetime | None:
    """Return when the database was found to be a copy or restored; None a day later."""
    home = Home.objects.exclude(former="").filter(pk=1, since__gt=now - NOTICE).first()
    return home.since if home else None


def _check_soon(**kwargs: Any) -> None:
    global _check_at
    _check_at = 0.0


connection_created.connect(_check_soon)


def _fingerprint() -> str:
    """Return what tells the place of this database from that of any copy.

    A standby has its primary's, and keeps it when it is promoted.
    """
    if connection.vendor != "postgresql":
        return _fingerprint_of_file(str(connection.settings_dict["NAME"]))
    with connection.cursor() as cursor:
        cursor.execute(MAY_READ_SYSTEM)
        cursor.execute(SYSTEM if cursor.fetchone()[0] else "SELECT ''")
        (system,) = cursor.fetchone()
        cursor.execute(PLACE, [Home._meta.db_table])
        database, table = cursor.fetchone()
    return f"{system}/{database}/{table}"


def _fingerprint_of_file(name: str) -> str:
    """Return the numbers by which the file system knows a file and its folder.

    They stay when folders are renamed, and where containers see the file under several paths.
    """
    try:
        return f"{os.stat(os.path.dirname(name)).st_ino}/{os.stat(name).st_ino}"
    except OSError:
        return name  # It is in memory.


def _settle(fingerprint: str, now: datetime) -> Home:
    """Remember where the database lives, and say so if that is not where it was."""
    first = {"fingerprint": fingerprint, "since": now}
    home, _ = Home.objects.get_or_create(pk=1, defaults=first)
    if home.fingerprint == fingerprint:
        return home
    last = Heartbeat.objects.filter(name__in=SIGNS_OF_WORK).aggregate(at=Max("at"))["at"]
    here = {**first, "former": home.fingerprint}
    if Home.objects.filter(pk=1, fingerprint=home.fingerprint).update(**here):
        logger.warning(
            "This database is a copy, or was restored. It was last at work elsewhere at %s UTC. "
            "If the original still runs, stop one of the two; otherwise there is nothing to do: "
            "what was sent since is due again, under the ids it had.",
            f"{last:%Y-%m-%d %H:%M:%S}" if last else "an unknown time",
        )
    return Home(pk=1, **here)


def _exchange_signs(home: Home, now: datetime) -> float:
    """Leave a sign in the broker that this database is at work, and look for its original's.

    Returns:
        The seconds for which the original's sign is still good; 0 if there is none, or nobody to
        ask: only a Redis knows such signs.
    """
    options = {"socket_timeout": BROKER_TIMEOUT, "socket_connect_timeout": BROKER_TIMEOUT}
    # Any: only a channel of Redis has its client.
    broker: Any = current_app.connection_for_write(transport_options=options)
    if broker.transport.driver_type != "redis":
        return 0.0
    life = max(3 * CHECK_INTERVAL, 3 * settings.MESSAGE_SENDER_TIMEOUT)  # longer than a delivery
    try:
        with broker, broker.channel().conn_or_acquire() as client:
            client.set(_sign(home.fingerprint), "at work", px=int(1000 * life))
            if not _is_watchful(home, now):
                return 0.0
            milliseconds: int = client.pttl(_sign(home.former))  # below 0: it has none
            return max(0, milliseconds) / 1000
    except (OperationalError, *broker.connection_errors):
        return 0.0  # Whoever cannot reach the broker has no tasks either.


def _sign(fingerprint: str) -> str:
    return f"mailing_manager.at_work.{fingerprint}"


def _is_watchful(home: Home, now: datetime) -> bool:
    """Tell whether to look for the original: until it was not seen for NOTICE.

    Later it is this database that is in use, and an original that is started again does not stop
    it.
    """
    if not home.former:
        return False
    seen_at = SendingControl.objects.current().held_until or home.since
    return max(seen_at, home.since) > now - NOTICE


def _hold_back(until: datetime, now: datetime) -> None:
    """Have nothing sent until the original's sign has gone, and say so once."""
    was_held_back = is_held_back(SendingControl.objects.current(), now)
    SendingControl.objects.filter(pk=1).update(held_until=until)
    if not was_held_back:
        logger.warning(
            "Nothing is sent: this database is a copy, and its original is at work on the same "
            "broker, or was until a moment ago. Sending goes on by itself once it is not."
        )
