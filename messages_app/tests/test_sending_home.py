"""A database that was copied or restored says so, and a copy lets its original go first."""

import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from redis import Redis
from rest_framework.test import APIClient

from messages_app.models import Heartbeat, Home, SendingControl
from messages_app.sending import control, home
from tests.rest import iso
from tests.servers import RedisServer, free_port, running_redis
from toolkit import clock

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ORIGINAL = "where the original lives"

Check = Callable[..., bool]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def shared_broker(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """Have original and copy use one empty Redis."""
    monkeypatch.setattr(current_app.conf, "broker_write_url", redis.url)
    _forget_signs()
    return redis


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks as a process does that has just started.

    It may do so in another place, and tells whether nothing may be sent then.
    """

    def check(*, place: str = "", at: datetime | None = None) -> bool:
        now = at or clock.now()
        home._check_soon()
        with monkeypatch.context() as patch:
            if place:
                patch.setattr(home, "_fingerprint", lambda: place)
            home.check(now=now)
        return control.is_blocked(SendingControl.objects.current(), now)

    return check


@pytest.fixture
def copied(db: None, check: Check) -> None:
    """Have the database be one that was at work in another place."""
    check(place=ORIGINAL)
    Heartbeat.objects.create(name="start_mailing", at=datetime(2030, 1, 31, 9, 0, tzinfo=UTC))


@pytest.fixture
def copied_beside_its_original(shared_broker: RedisServer, copied: None) -> None:
    """Have the original's sign be in the broker."""


class TestNoticing:
    def test_a_database_that_stays_where_it_is_says_nothing(
        self, check: Check, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert not check()
        assert not check()
        assert Home.objects.get().former == ""
        assert home.restored_at(clock.now()) is None
        assert caplog.text == ""

    @pytest.mark.usefixtures("copied")
    def test_a_copy_says_once_when_it_was_last_at_work_elsewhere_and_sends(
        self, check: Check, caplog: pytest.LogCaptureFixture
    ) -> None:
        # Beat's heartbeat comes before any worker looks.
        Heartbeat.objects.create(name="beat", at=clock.now() + 100 * 365 * DAY)

        assert not check()
        assert not check()

        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert (
            "a copy, or was restored. It was last at work elsewhere at 2030-01-31 09:00:00 UTC"
            in (record.message)
        )
        assert Home.objects.get().former == ORIGINAL

    @pytest.mark.usefixtures("copied")
    def test_it_is_told_for_a_day(self, check: Check) -> None:
        now = clock.now()
        check(at=now)
        assert home.restored_at(now + DAY - SECOND) == now
        assert home.restored_at(now + DAY) is None

    @pytest.mark.usefixtures("copied")
    def test_a_process_looks_again_only_after_a_while_or_on_a_new_connection(
        self, check: Check
    ) -> None:
        check()
        Home.objects.update(fingerprint=ORIGINAL)
        home.check(now=clock.now())
        assert Home.objects.get().fingerprint == ORIGINAL

        home._check_soon()
        home.check(now=clock.now())
        assert Home.objects.get().fingerprint != ORIGINAL

    def test_a_file_is_told_from_its_copy_and_not_from_itself_in_a_renamed_folder(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "one"
        folder.mkdir()
        (folder / "db").write_text("")
        place = home._fingerprint_of_file(str(folder / "db"))

        shutil.copytree(folder, tmp_path / "copy")
        folder.rename(tmp_path / "two")

        assert home._fingerprint_of_file(str(tmp_path / "two" / "db")) == place
        assert home._fingerprint_of_file(str(tmp_path / "copy" / "db")) != place

    @pytest.mark.postgres
    def test_a_role_that_may_not_know_the_system_still_knows_the_database(self) -> None:
        system, *rest = home._fingerprint().split("/")
        assert int(system)
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE nobody_in_particular")
            cursor.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
            cursor.execute("SET LOCAL ROLE nobody_in_particular")
        assert home._fingerprint().split("/") == ["", *rest]
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")


class TestBesideTheOriginal:
    @pytest.mark.usefixtures("copied_beside_its_original")
    def test_a_copy_sends_nothing_while_its_original_is_at_work_and_says_so_once(
        self, check: Check, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert check()
        assert check()

        assert [record.message[:18] for record in caplog.records] == [
            "This database is a",
            "Nothing is sent: t",
        ]

    @pytest.mark.usefixtures("copied_beside_its_original")
    def test_a_copy_sends_once_its_originals_sign_has_gone(self, check: Check) -> None:
        now = clock.now()
        assert check(at=now)
        (until,) = SendingControl.objects.values_list("held_until", flat=True)
        assert until
        assert not control.is_blocked(SendingControl.objects.current(), until)

        _forget_signs()
        assert not check(at=until)

    @pytest.mark.usefixtures("shared_broker")
    def test_an_original_does_not_mind_its_copy(self, check: Check) -> None:
        check(place=ORIGINAL)
        check(place="where the copy lives")
        Home.objects.update(fingerprint=ORIGINAL, former="")
        SendingControl.objects.update(held_until=None)

        assert not check(place=ORIGINAL)

    @pytest.mark.usefixtures("copied_beside_its_original")
    def test_an_original_that_was_away_for_a_day_does_not_stop_its_successor(
        self, check: Check
    ) -> None:
        now = clock.now()
        assert check(at=now)
        (until,) = SendingControl.objects.values_list("held_until", flat=True)
        assert until
        assert check(at=until + DAY - SECOND)
        (until,) = SendingControl.objects.values_list("held_until", flat=True)
        assert until
        assert not check(at=until + DAY)

    @pytest.mark.usefixtures("copied_beside_its_original")
    def test_a_broker_that_is_away_holds_nothing_back(
        self, check: Check, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dead = f"redis://127.0.0.1:{free_port()}"
        monkeypatch.setattr(current_app.conf, "broker_write_url", dead)
        assert not check()


class TestTelling:
    def test_rest_tells_both(self, api: APIClient) -> None:
        now = clock.now()
        Home.objects.create(pk=1, fingerprint="here", former=ORIGINAL, since=now)
        SendingControl.objects.update(held_until=now + HOUR)

        told = api.get("/api/v1/sender/").json()

        assert (told["restored_at"], told["held_until"]) == (iso(now), iso(now + HOUR))

    def test_rest_tells_nothing_of_what_is_over(self, api: APIClient) -> None:
        now = clock.now()
        Home.objects.create(pk=1, fingerprint="here", former=ORIGINAL, since=now - DAY)
        SendingControl.objects.update(held_until=now)

        told = api.get("/api/v1/sender/").json()

        assert (told["restored_at"], told["held_until"]) == (None, None)

    def test_the_page_of_the_sender_tells_both_and_every_page_what_holds_back(
        self, client: Browser
    ) -> None:
        now = clock.now()
        client.force_login(User.objects.create(username="a", is_staff=True, is_superuser=True))
        Home.objects.create(pk=1, fingerprint="here", former=ORIGINAL, since=now)
        SendingControl.objects.update(held_until=now + HOUR)

        page = client.get("/admin/messages_app/sendingcontrol/1/change/").content.decode()

        held, restored = "its original is at work", "was found to be a copy, or restored"
        assert (held in page, restored in page) == (True, True)
        assert held in client.get("/admin/").content.decode()


def _forget_signs() -> None:
    with Redis.from_url(current_app.conf.broker_write_url) as client:
        client.flushall()
