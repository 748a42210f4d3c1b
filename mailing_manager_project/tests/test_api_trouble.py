"""The REST API when others are faster, and when database or broker are away."""

import socket
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Event
from time import monotonic
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import Model
from django.utils import timezone
from rest_framework.test import APIClient

from clients.api.serializers import ClientSerializer
from clients.models import Client
from mailing_manager_project.celery import app
from mailings.models import Mailing
from messages_app.api.serializers import MessageSerializer
from messages_app.models import Message, SendingControl, Withdrawal
from messages_app.tests.scripted import idle_in_transaction
from tests.rest import Answer, JsonClient, iso, refusal, wait_until_somebody_waits
from tests.servers import free_port
from toolkit import publishing

API = "/api/v1/"
PAYLOAD = {"phone_number": "79991234567"}


@pytest.mark.postgres  # SQLite has one writer, and this request is it.
@pytest.mark.django_db(transaction=True)
def test_of_many_who_save_one_number_at_once_the_others_are_told_who_has_it(
    operator: User, at_once: Callable[..., list[Any]]
) -> None:
    def save() -> Answer:
        api = JsonClient()
        api.force_authenticate(operator)
        answer: Answer = api.post(f"{API}clients/", PAYLOAD)
        return answer

    for _ in range(5):
        answers = sorted(at_once(*[save] * 6), key=lambda answer: answer.status_code)
        client = Client.objects.get()
        assert (answers[0].status_code, answers[0].json()["id"]) == (201, client.pk)
        for answer in answers[1:]:
            assert refusal(answer) == (409, {"phone_number": "phone_number_taken"})
            assert answer.json()["errors"][0]["id"] == client.pk
        client.delete()


@pytest.mark.postgres  # as above
@pytest.mark.django_db(transaction=True)
def test_a_client_who_is_being_deleted_by_somebody_else_does_not_come_back(
    api: APIClient,
    make_clients: Callable[..., list[Client]],
    at_once: Callable[..., list[Any]],
) -> None:
    (client,) = make_clients(1)
    is_deleted, may_commit = Event(), Event()

    def delete() -> None:
        with transaction.atomic():
            Client.objects.all().delete()
            is_deleted.set()
            assert may_commit.wait(30)

    def edit() -> Any:
        assert is_deleted.wait(30)
        return api.patch(f"{API}clients/{client.pk}/", {"tag": "vip"})

    def watch() -> None:
        assert is_deleted.wait(30)
        wait_until_somebody_waits()
        may_commit.set()

    answer = at_once(edit, delete, watch)[0]

    assert refusal(answer) == (404, {None: "not_found"})
    assert not Client.objects.exists()


@pytest.fixture
def api(api: APIClient) -> APIClient:
    """Return a client that hands out answers of 500 and more instead of raising their cause."""
    api.raise_request_exception = False
    return api


@pytest.fixture
def no_database(
    operator: User, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have the database go away, and come back after the test."""
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "PORT", str(free_port()))
        if connection.vendor == "sqlite":
            patch.setitem(connection.settings_dict, "NAME", "/nowhere/db.sqlite3")
        yield
    connection.close()


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("get", path) for path in ("clients/", "mailings/", "messages/", "mailings/stats/")),
        ("post", "clients/"),
        ("delete", "clients/1/"),
        ("post", "mailings/1/pause/"),
    ],
)
def test_without_a_database_the_api_asks_for_patience(
    api: APIClient, method: str, path: str
) -> None:
    answer = getattr(api, method)(f"{API}{path}", PAYLOAD if path == "clients/" else {})

    assert refusal(answer) == (503, {None: "database_unavailable"})


@pytest.mark.usefixtures("no_database")
def test_without_a_database_nobody_is_refused_as_a_stranger() -> None:
    api = JsonClient(
        headers={"authorization": "Token 0123456789abcdef"}, raise_request_exception=False
    )

    assert refusal(api.get(f"{API}clients/")) == (503, {None: "database_unavailable"})


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_goes_away_meanwhile_is_no_fault_of_the_request(
    api: APIClient, error: type[DatabaseError]
) -> None:
    def fail(*arguments: Any) -> Any:
        raise error("The connection is lost.")

    with connection.execute_wrapper(fail):
        answer = api.get(f"{API}clients/")

    assert refusal(answer) == (503, {None: "database_unavailable"})


Write = Callable[[], float]


@pytest.fixture
def write_all(
    api: APIClient, make_message: Callable[..., Message], now: datetime, transactional_db: None
) -> Write:
    """Return a function that writes everything that has tasks queued; seconds for each."""

    def write_all() -> float:
        message = make_message(status="fail")
        mailing = f"{API}mailings/{message.mailing_id}/"
        times = {"start_time": iso(now), "stop_time": iso(now + timedelta(hours=1))}
        began_at = monotonic()

        answers = [
            api.post(f"{API}mailings/", {**times, "text": "Hello", "filters": {}}),
            api.patch(mailing, {"text": "New"}),
            api.post(f"{mailing}pause/"),
            api.post(f"{mailing}resume/"),
            api.post(f"{API}messages/{message.pk}/resend/"),
        ]

        assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200]
        assert Mailing.objects.count() == 2
        return (monotonic() - began_at) / len(answers)

    return write_all


def use_broker(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tasks queued in a Redis on this port."""
    monkeypatch.setattr(app.conf, "broker_write_url", f"redis://127.0.0.1:{port}/0")
    # The connections to the one that the tests have are put away until afterwards.
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)


def test_without_a_broker_all_is_saved_soon_and_the_log_says_what_waits(
    write_all: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_broker(free_port(), monkeypatch)
    assert write_all() < 1
    waiting = [record for record in caplog.records if "waits for" in record.getMessage()]
    assert len(waiting) == 5


def test_with_a_broker_that_says_nothing_all_is_saved_soon_too(
    write_all: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_broker(silent.getsockname()[1], monkeypatch)
        assert write_all() < 1
    waiting = [record for record in caplog.records if "waits for" in record.getMessage()]
    assert len(waiting) == 5
    # What still waits for it ends with it, and is in nobody's way afterwards.
    for publication in list(publishing._hanging):
        assert publication.exception(timeout=20)


@pytest.fixture
def saving(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Return a function that adds a client while something else happens in the service."""

    def save(event: Callable[[], Any], to: str = "clients/") -> Answer:
        client, mailing = Client.objects.create(phone_number="79990000001"), a_mailing()

        def do(*arguments: Any, **named: Any) -> Client:
            event()
            return client  # A foreign key is looked at when all is committed.

        monkeypatch.setattr(ClientSerializer, "create", do)
        monkeypatch.setattr(MessageSerializer, "create", do)
        body = {"client": client.pk, "mailing": mailing.pk} if to == "messages/" else PAYLOAD
        answer: Answer = api.post(f"{API}{to}", body)
        return answer

    return save


def a_mailing() -> Mailing:
    now = timezone.now()
    return Mailing.objects.create(start_time=now, stop_time=now + timedelta(hours=1), text="Hello")


def errors_in(log: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    """Return the exceptions whose tracebacks were logged as errors."""
    errors = [record for record in log.records if record.levelname == "ERROR"]
    return [record.exc_info[0] if record.exc_info else None for record in errors]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "race",
    [
        lambda: Client.objects.create(phone_number="79990000001"),
        lambda: Client.objects.create(pk=Client.objects.get().pk, phone_number="79990000002"),
        lambda: Withdrawal.objects.create(mailing=a_mailing(), client_id=0),
    ],
    ids=["unique", "primary key", "foreign key"],
)
def test_what_only_another_writer_can_have_made_wrong_is_a_conflict_and_no_event(
    race: Callable[[], Any], saving: Callable[..., Answer], caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal(saving(race)) == (409, {None: "conflict"})
    assert errors_in(caplog) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "mistake",
    [
        lambda: Client.objects.update(tag=None),
        lambda: Message.objects.create(mailing=a_mailing(), attempts=-1),
    ],
    ids=["not null", "check"],
)
def test_what_was_wrong_from_the_beginning_is_our_fault_and_in_the_log(
    mistake: Callable[[], Any], saving: Callable[..., Answer], caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal(saving(mistake)) == (500, {None: "error"})
    assert errors_in(caplog) == [IntegrityError]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("to", "model"),
    [("clients/", Client), ("messages/", Message), ("messages/", Mailing), ("messages/", Client)],
)
def test_a_row_of_the_request_that_vanished_is_a_conflict_and_no_event(
    to: str,
    model: type[Model],
    saving: Callable[..., Answer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = saving(lambda: model._default_manager.get(pk=0), to)
    assert refusal(answer) == (409, {None: "conflict"})
    assert errors_in(caplog) == []


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Mailing, Message, SendingControl])
def test_a_row_that_nobody_asked_for_is_missed_by_our_fault(
    model: type[Model], saving: Callable[..., Answer], caplog: pytest.LogCaptureFixture
) -> None:
    answer = saving(lambda: model._default_manager.get(pk=0))
    assert refusal(answer) == (500, {None: "error"})
    assert [error.__qualname__ for error in errors_in(caplog) if error] == [
        f"{model.__name__}.DoesNotExist"
    ]


@pytest.mark.django_db
def test_without_the_row_that_a_migration_made_nothing_is_held_back(api: APIClient) -> None:
    SendingControl.objects.all().delete()
    answer = api.get(f"{API}sender/")
    assert (answer.status_code, answer.json()["is_paused"]) == (200, False)


def busy_sqlite() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorname = "SQLITE_BUSY"
    return error


@pytest.mark.parametrize(
    "cause",
    [psycopg.errors.DeadlockDetected(), psycopg.errors.QueryCanceled(), busy_sqlite()],
    ids=["deadlock", "cancelled", "SQLite"],
)
def test_a_database_that_is_busy_is_not_said_to_be_away(api: APIClient, cause: Exception) -> None:
    def fail(*arguments: Any) -> Any:
        raise OperationalError("Not now.") from cause

    with connection.execute_wrapper(fail):
        answer = api.get(f"{API}clients/")

    assert refusal(answer) == (503, {None: "database_busy"})


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_stood_idle_for_too_long_has_lost_the_database(
    saving: Callable[..., Answer],
) -> None:
    answer = saving(idle_in_transaction)
    connection.close()
    assert refusal(answer) == (503, {None: "database_unavailable"})


def test_any_other_internal_error_is_our_own_fault(
    saving: Callable[..., Answer], api: APIClient
) -> None:
    def fail() -> None:
        raise InternalError("A page of an index is broken.")

    api.raise_request_exception = False
    assert saving(fail).status_code == 500


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_so_it_is_with_a_statement_that_took_too_long(saving: Callable[..., Answer]) -> None:
    def wait() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 10")
            cursor.execute("SELECT pg_sleep(10)")

    assert refusal(saving(wait)) == (503, {None: "database_busy"})
