"""A POST with an Idempotency-Key is done once and answered as often as it is repeated."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from clients.api.serializers import ClientSerializer
from clients.api.views import ClientViewSet
from clients.models import Client
from mailings.models import Mailing
from mailings.tasks import finish_mailing
from tests.rest import JsonClient, iso, refusal, wait_until_somebody_waits
from toolkit.rest.idempotency import header, models
from toolkit.rest.idempotency.models import GivenAnswer
from toolkit.rest.permissions import needs
from toolkit.rest.views import SafeWrites

CLIENTS, MAILINGS = "/api/v1/clients/", "/api/v1/mailings/"
PAYLOAD = {"phone_number": "79991234567"}
KEY = {"Idempotency-Key": "4c7a0f1e"}
AtOnce = Callable[..., list[Any]]


def add(api: APIClient, key: str = "4c7a0f1e", **fields: str) -> Any:
    return api.post(CLIENTS, {**PAYLOAD, **fields}, headers={"Idempotency-Key": key})


def client_of(user: User) -> APIClient:
    api = JsonClient()
    api.force_authenticate(user)
    api.raise_request_exception = False
    return api


def is_replayed(answer: Any) -> bool:
    return bool(answer.headers.get("Idempotent-Replayed") == "true")


class TestRepetitions:
    def test_the_first_answer_comes_again_and_nothing_is_done(self, api: APIClient) -> None:
        first, second = add(api), add(api)

        assert (first.status_code, second.status_code) == (201, 201)
        assert second.content == first.content
        assert second.headers["Content-Type"] == first.headers["Content-Type"]
        assert (is_replayed(first), is_replayed(second)) == (False, True)
        assert Client.objects.count() == 1

    def test_it_comes_again_whatever_became_of_the_thing_since(self, api: APIClient) -> None:
        first = add(api)
        Client.objects.all().delete()

        assert add(api).json() == first.json()
        assert not Client.objects.exists()

    def test_headers_that_say_where_the_thing_is_come_again(
        self, api: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        location = {"Location": f"{CLIENTS}5/"}
        monkeypatch.setattr(ClientViewSet, "get_success_headers", lambda *_: location)

        assert [add(api).headers["Location"] for _ in "12"] == [f"{CLIENTS}5/"] * 2

    @pytest.mark.parametrize("key", ['"4c7a0f1e"', "  4c7a0f1e ", ' "4c7a0f1e"'])
    def test_quotes_do_not_count(self, api: APIClient, key: str) -> None:
        add(api)

        assert is_replayed(add(api, key))

    def test_a_deed_is_repeated_like_anything_else(
        self, api: APIClient, make_mailing: Callable[..., Mailing]
    ) -> None:
        mailing = make_mailing()
        pause = partial(api.post, f"{MAILINGS}{mailing.pk}/pause/", headers=KEY)

        first = pause()
        api.post(f"{MAILINGS}{mailing.pk}/resume/")
        second = pause()

        assert (first.json()["status"], second.json()["status"]) == ("paused", "paused")
        assert Mailing.objects.get().status == "running"

    def test_without_a_key_every_request_is_a_new_one(self, api: APIClient) -> None:
        assert [api.post(CLIENTS, PAYLOAD).status_code for _ in "12"] == [201, 409]
        assert not GivenAnswer.objects.exists()

    def test_methods_that_are_repeatable_anyway_have_no_use_for_it(
        self, api: APIClient, make_clients: Callable[..., list[Client]]
    ) -> None:
        path = f"{CLIENTS}{make_clients(1)[0].pk}/"

        answers = [api.patch(path, {"tag": tag}, headers=KEY) for tag in ("a", "b")]

        assert [answer.json()["tag"] for answer in answers] == ["a", "b"]

    @pytest.mark.django_db(transaction=True)
    def test_the_task_of_what_was_done_is_queued_once_and_after_the_commit(
        self,
        api: APIClient,
        queued: Callable[[], list[tuple[Any, ...]]],
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        in_transaction = []
        send = current_app.send_task

        def look(*args: Any, **options: Any) -> Any:
            in_transaction.append(GivenAnswer.objects.filter(status=201).count())
            connection.close()  # of the thread that publishes, which sees what is committed
            return send(*args, **options)

        monkeypatch.setattr("toolkit.publishing.current_app.send_task", look)
        times = {"start_time": iso(now), "stop_time": iso(now + timedelta(hours=1))}
        for _ in "12":
            api.post(MAILINGS, {**times, "text": "Hello", "filters": {}}, headers=KEY)

        assert queued() == [("start_mailing", Mailing.objects.get().pk)]
        assert in_transaction == [1]


class TestOtherRequests:
    def test_another_body_under_the_same_key_is_refused(self, api: APIClient) -> None:
        add(api)

        assert refusal(add(api, tag="vip")) == (422, {None: "idempotency_key_reused"})
        assert Client.objects.get().tag == ""

    def test_so_are_other_parameters(self, api: APIClient) -> None:
        add(api)

        answer = api.post(f"{CLIENTS}?dry_run=1", PAYLOAD, headers=KEY)

        assert refusal(answer) == (422, {None: "idempotency_key_reused"})

    def test_a_key_is_one_users_own(self, api: APIClient) -> None:
        add(api)

        other = User.objects.create(username="other", is_superuser=True)
        answer = add(client_of(other), phone_number="79991234568")

        assert answer.status_code == 201
        assert not is_replayed(answer)

    def test_a_key_belongs_to_one_path(
        self, api: APIClient, make_mailing: Callable[..., Mailing]
    ) -> None:
        deeds = [f"{MAILINGS}{make_mailing().pk}/{deed}/" for deed in ("pause", "cancel")]

        answers = [api.post(path, headers=KEY) for path in deeds]

        assert [answer.json()["status"] for answer in answers] == ["paused", "cancelled"]

    def test_an_upload_is_the_same_one_whatever_separates_its_parts(self, operator: User) -> None:
        class Upload(SafeWrites[Client]):
            parser_classes = (MultiPartParser,)
            needs = needs(Client)

            def post(self, request: Any) -> Any:
                return self.http_method_not_allowed(request)  # an answer like any other

        def upload(content: bytes, boundary: str) -> Any:
            parts = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"'
            body = parts.encode() + b"\r\n\r\n" + content + f"\r\n--{boundary}--\r\n".encode()
            kind = f"multipart/form-data; boundary={boundary}"
            request = APIRequestFactory().generic("POST", "/", body.decode(), kind, headers=KEY)
            force_authenticate(request, operator)
            answer = Upload.as_view()(request)
            return answer.status_code, is_replayed(answer)

        assert upload(b"1", "x") == (405, False)
        assert upload(b"1", "y") == (405, True)
        assert upload(b"2", "y")[0] == 422


class TestAnswersThatAreNoSuccess:
    def test_a_refusal_is_an_answer_too(self, api: APIClient) -> None:
        Client.objects.create(**PAYLOAD)
        first = add(api)
        Client.objects.all().delete()

        second = add(api)

        assert (first.status_code, second.status_code) == (409, 409)
        assert second.content == first.content
        assert add(api, "another").status_code == 201

    def test_of_what_was_done_before_a_refusal_nothing_is_left(
        self, api: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = ClientSerializer.create

        def create_twice(serializer: ClientSerializer, data: dict[str, Any]) -> Client:
            create(serializer, data)
            return create(serializer, data)

        monkeypatch.setattr(ClientSerializer, "create", create_twice)

        assert refusal(add(api)) == (409, {"phone_number": "phone_number_taken"})
        assert not Client.objects.exists()
        assert is_replayed(add(api))

    def test_our_own_failure_is_not_kept_nor_what_was_done_with_it(
        self, operator: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = client_of(operator)
        create = ClientSerializer.create

        def fail(serializer: ClientSerializer, data: dict[str, Any]) -> Client:
            create(serializer, data)
            raise RuntimeError("A mistake of ours.")

        with monkeypatch.context() as patched:
            patched.setattr(ClientSerializer, "create", fail)
            assert add(api).status_code == 500
        assert not Client.objects.exists()
        assert not GivenAnswer.objects.exists()

        again = add(api)
        assert (again.status_code, is_replayed(again)) == (201, False)

    def test_who_may_not_do_it_leaves_no_trace_and_is_told_nothing(
        self, api: APIClient, operator: User
    ) -> None:
        assert add(JsonClient()).status_code == 401
        assert not GivenAnswer.objects.exists()

        add(api)
        assert add(JsonClient()).status_code == 401
        api.force_authenticate(None)
        assert add(api).status_code == 401

    def test_what_cannot_be_read_is_no_request_yet(self, api: APIClient) -> None:
        for body, kind in (
            (" " * 11_000_000, "application/json"),
            ("--x--", "multipart/form-data"),
        ):
            answer = api.generic("POST", CLIENTS, body, content_type=kind, headers=KEY)
            assert answer.status_code in {413, 415}

        assert add(api).status_code == 201

    def test_a_form_of_a_session_is_refused_as_it_is_without_a_key(self, operator: User) -> None:
        browser = JsonClient(enforce_csrf_checks=True)
        browser.force_login(operator)
        browser.cookies["csrftoken"] = "x" * 32

        answer = browser.generic(
            "POST",
            CLIENTS,
            f"--x\r\nContent-Disposition: form-data; name=csrfmiddlewaretoken\r\n\r\n{'x' * 32}"
            "\r\n--x--\r\n",
            content_type="multipart/form-data; boundary=x",
            headers=KEY,
        )

        assert refusal(answer) == (415, {None: "unsupported_media_type"})


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """Have the first client that is saved wait: (set once it does, to be set to let it go on)."""
    is_waiting, go_on = Event(), Event()
    create = ClientSerializer.create

    def create_late(serializer: ClientSerializer, data: dict[str, Any]) -> Client:
        client = create(serializer, data)
        if not is_waiting.is_set():
            is_waiting.set()
            go_on.wait(30)
        return client

    monkeypatch.setattr(ClientSerializer, "create", create_late)
    yield is_waiting, go_on
    go_on.set()


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    def test_twenty_with_one_key_make_one(self, operator: User, at_once: AtOnce) -> None:
        answers = at_once(*[partial(add, client_of(operator))] * 20)

        done = [answer for answer in answers if answer.status_code == 201]
        late = [answer for answer in answers if answer.status_code != 201]
        assert Client.objects.count() == 1
        assert sum(not is_replayed(answer) for answer in done) == 1
        assert {answer.content for answer in done} == {done[0].content}
        for answer in late:
            assert refusal(answer) == (409, {None: "idempotency_in_progress"})

    @pytest.mark.postgres
    def test_a_repetition_of_what_is_still_running_is_told_so(
        self, operator: User, at_once: AtOnce, held: tuple[Event, Event]
    ) -> None:
        is_waiting, go_on = held

        def repeat() -> Any:
            assert is_waiting.wait(30)
            answer = add(client_of(operator))
            go_on.set()
            return answer

        first, second = at_once(partial(add, client_of(operator)), repeat)

        assert first.status_code == 201
        assert refusal(second) == (409, {None: "idempotency_in_progress"})
        assert second.headers["Retry-After"] == "1"
        assert is_replayed(add(client_of(operator)))

    def test_a_repetition_waits_for_one_that_is_nearly_done(
        self,
        operator: User,
        at_once: AtOnce,
        held: tuple[Event, Event],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(models, "PATIENCE", "30s")
        is_waiting, go_on = held

        def repeat() -> Any:
            assert is_waiting.wait(30)
            return add(client_of(operator))

        def let_go() -> None:
            assert is_waiting.wait(30)
            if connection.vendor == "postgresql":
                wait_until_somebody_waits()
            go_on.set()

        first, second, _ = at_once(partial(add, client_of(operator)), repeat, let_go)

        assert (first.status_code, is_replayed(second)) == (201, True)
        assert second.content == first.content

    @pytest.mark.postgres
    def test_when_the_first_is_killed_the_repetition_becomes_the_first(
        self,
        operator: User,
        at_once: AtOnce,
        held: tuple[Event, Event],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(models, "PATIENCE", "30s")
        is_waiting, go_on = held

        def repeat() -> Any:
            assert is_waiting.wait(30)
            return add(client_of(operator))

        def kill() -> None:
            assert is_waiting.wait(30)
            wait_until_somebody_waits()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE state = 'idle in transaction' AND datname = current_database()"
                )
            go_on.set()

        first, second, _ = at_once(partial(add, client_of(operator)), repeat, kill)

        assert first.status_code == 503
        assert (second.status_code, is_replayed(second)) == (201, False)
        assert Client.objects.get().pk == second.json()["id"]

    @pytest.mark.postgres
    def test_what_is_done_waits_for_its_locks_as_long_as_ever(
        self, operator: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []

        def look(serializer: ClientSerializer, data: dict[str, Any]) -> Client:
            with connection.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                seen.append(cursor.fetchone())
            return Client.objects.create(**data)

        monkeypatch.setattr(ClientSerializer, "create", look)
        api = client_of(operator)
        add(api)
        api.post(CLIENTS, {"phone_number": "79991234568"})

        assert seen[0] == seen[1]


class TestADayLater:
    @pytest.fixture(autouse=True)
    def _answered_yesterday(self, api: APIClient) -> None:
        add(api)
        Client.objects.all().delete()
        GivenAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))

    def test_a_key_may_be_used_again_even_if_nothing_was_dropped(self, api: APIClient) -> None:
        answer = add(api, tag="vip")

        assert (answer.status_code, is_replayed(answer)) == (201, False)
        assert is_replayed(add(api, tag="vip"))

    def test_the_tick_drops_what_is_old_in_steps_and_nothing_else(
        self, api: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = timezone.now() - timedelta(days=2)
        GivenAnswer.objects.bulk_create(
            GivenAnswer(key=str(number), created_at=old) for number in range(5)
        )
        add(api, "young")
        monkeypatch.setattr("toolkit.dropping.STEP", 2)

        finish_mailing()

        assert GivenAnswer.objects.get().status == 201


class TestHeader:
    @given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
    def test_whatever_is_visible_is_a_key_bare_or_quoted(self, key: str) -> None:
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')

        assert header.parse(f'"{quoted}"') == key
        if not key.startswith('"'):
            assert header.parse(key) == key

    @given(st.text(st.characters(max_codepoint=0xFF)))
    def test_nothing_else_is(self, text: str) -> None:
        key = header.parse(text)

        assert key is None or all(" " <= character <= "~" for character in key)

    @pytest.mark.parametrize(
        "key",
        [
            *("", '""', '"', '"a', 'a b"', '"a"b', '"a";b', '"a", "b"', "a b", '"a\\b"'),
            *("ключ".encode().decode("latin-1"), "\xe9", "a\x7f", "x" * 256, f'"{"x" * 256}"'),
        ],
    )
    @pytest.mark.parametrize("path", [CLIENTS, "/api/v1/sender/probe/"])
    def test_what_is_no_key_is_refused(self, api: APIClient, path: str, key: str) -> None:
        answer = api.post(path, PAYLOAD, headers={"Idempotency-Key": key})

        assert refusal(answer) == (400, {"Idempotency-Key": "invalid_idempotency_key"})
        assert not Client.objects.exists()

    def test_the_longest_key_is_taken(self, api: APIClient) -> None:
        for key in ("x" * 255, f'"{"x" * 255}"', '"' + '\\"' * 255 + '"'):
            assert add(api, key).status_code in {201, 409}
        assert GivenAnswer.objects.count() == 2


def views(patterns: list[Any] | None = None) -> Iterator[type[APIView]]:
    """Yield the classes of all REST views that have an address."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            view: Any = getattr(pattern.callback, "cls", None)
            if view and issubclass(view, APIView):
                yield view


def test_no_view_that_writes_is_forgotten() -> None:
    unsafe = {method.lower() for method in APIView.http_method_names} - {
        method.lower() for method in SAFE_METHODS
    }
    writing = {
        view
        for view in views()
        if any(hasattr(view, name) for name in (*unsafe, "create", "update", "destroy"))
    }

    assert len(writing) == 8
    assert [view for view in writing if not issubclass(view, SafeWrites)] == []
