"""Nobody overwrites what they have not seen: ETag, If-Match and If-None-Match."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Heartbeat, Message, SendingControl
from tests.rest import JsonClient, iso, refusal
from toolkit.rest.preconditions import is_among

API = "/api/v1/"
ROOMS = ("clients", "mailings", "messages", "sender")
AtOnce = Callable[..., list[Any]]
NOTHING = '"0123456789abcdef"'


@pytest.fixture
def message(make_message: Callable[..., Message]) -> Message:
    """Save a message that failed and is tried again, with its mailing and its client."""
    return make_message(status="fail", error_code="unavailable")


@pytest.fixture
def paths(message: Message) -> dict[str, str]:
    """Return the address of one of each."""
    return {
        "clients": f"{API}clients/{message.client_id}/",
        "mailings": f"{API}mailings/{message.mailing_id}/",
        "messages": f"{API}messages/{message.pk}/",
        "sender": f"{API}sender/",
    }


@pytest.fixture(params=ROOMS)
def path(request: pytest.FixtureRequest, paths: dict[str, str]) -> str:
    """Return the address of one of each in turn."""
    return paths[request.param]


def etag(api: APIClient, path: str) -> str:
    return str(api.get(path).headers["ETag"])


class TestReading:
    def test_what_the_caller_has_is_not_sent_again(self, api: APIClient, path: str) -> None:
        first = api.get(path)
        tag = first.headers["ETag"]
        assert tag.startswith('"')
        for known in (tag, f'"x", {tag}', f"{tag},{NOTHING}", f"W/{tag}", "*"):
            answer = api.get(path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == tag
            assert answer.headers.get("Vary") == first.headers.get("Vary")

    @pytest.mark.parametrize("known", ["", NOTHING, "nonsense", '"', "*, *", f'{NOTHING}, "a"'])
    def test_anything_else_is(self, api: APIClient, path: str, known: str) -> None:
        answer = api.get(path, headers={"If-None-Match": known, "If-Match": NOTHING})
        assert (answer.status_code, answer.json()) == (200, answer.json())

    @pytest.mark.parametrize("name", ["stats/", "texts/", "timeline/"])
    def test_what_is_no_object_has_no_tag_of_one(
        self, api: APIClient, paths: dict[str, str], name: str
    ) -> None:
        assert "ETag" not in api.get(f"{paths['mailings']}{name}").headers

    @pytest.mark.parametrize(
        ("room", "model", "change"),
        [
            *(
                ("clients", Client, {name: value})
                for name, value in (("phone_number", "79991234567"), ("tag", "b"))
            ),
            ("clients", Client, {"operator_code": "1"}),
            ("clients", Client, {"timezone": "Europe/Paris"}),
            *(("mailings", Mailing, {name: "x"}) for name in ("text", "filters")),
            ("mailings", Mailing, {"status": "paused"}),
            ("mailings", Mailing, {"last_run_time": timezone.now()}),
            ("messages", Message, {"status": "pending"}),
            ("messages", Message, {"attempts": 2}),
            ("messages", Message, {"next_attempt_at": None}),
            ("messages", Message, {"error": "HTTP 503"}),
            ("messages", Message, {"client": None}),
            ("messages", Message, {"text_version": 2}),
            ("sender", SendingControl, {"is_paused": True}),
            ("sender", SendingControl, {"rate": 5}),
            ("sender", SendingControl, {"failures": 5}),
            ("sender", SendingControl, {"opened_at": timezone.now()}),
        ],
    )
    def test_every_change_of_what_is_shown_makes_another_tag(
        self, api: APIClient, paths: dict[str, str], room: str, model: Any, change: dict[str, Any]
    ) -> None:
        before = etag(api, paths[room])
        model.objects.update(**change)
        assert etag(api, paths[room]) != before

    def test_a_heartbeat_changes_the_senders_tag_only_by_being_missing(
        self, api: APIClient, paths: dict[str, str], now: datetime
    ) -> None:
        tags = []
        for age in (timedelta(seconds=1), timedelta(seconds=5), timedelta(minutes=4)):
            Heartbeat.objects.update_or_create(name="beat", defaults={"at": now - age})
            tags.append(etag(api, paths["sender"]))
        assert tags[0] == tags[1] != tags[2]


class TestWriting:
    DEEDS = (
        *(("put", "clients", ""), ("patch", "clients", ""), ("delete", "clients", "")),
        *(("put", "mailings", ""), ("patch", "mailings", ""), ("delete", "mailings", "")),
        *(("post", "mailings", f"{deed}/") for deed in ("pause", "resume", "cancel", "finish")),
        ("post", "mailings", "resend/"),
        *(("put", "messages", ""), ("patch", "messages", ""), ("delete", "messages", "")),
        *(("post", "messages", "resend/"), ("post", "messages", "confirm/")),
        *(("patch", "sender", ""), ("post", "sender", "probe/")),
    )

    @pytest.mark.parametrize(("method", "room", "deed"), DEEDS)
    def test_nothing_is_done_to_what_was_changed_since(
        self, api: APIClient, paths: dict[str, str], method: str, room: str, deed: str
    ) -> None:
        before = api.get(paths[room]).json()
        write = getattr(api, method)
        for seen in (NOTHING, "nonsense", "", f'W/{NOTHING}, "a"'):
            answer = write(f"{paths[room]}{deed}", {}, headers={"If-Match": seen})
            assert refusal(answer) == (412, {None: "precondition_failed"})
        after = api.get(paths[room]).json()
        assert {**after, "heartbeats": 0} == {**before, "heartbeats": 0}

    @pytest.mark.parametrize(
        ("room", "change"),
        [
            ("clients", {"tag": "vip"}),
            ("mailings", {"text": "New", "filters": {"tag": "b", "operator_code": ["9", "8"]}}),
            ("messages", {}),
            ("sender", {"rate": 5}),
        ],
    )
    def test_whoever_has_seen_it_changes_it_and_is_told_the_new_tag(
        self, api: APIClient, paths: dict[str, str], room: str, change: dict[str, Any]
    ) -> None:
        seen = etag(api, paths[room])
        for known in (f'"x", {seen}', "*"):
            answer = api.patch(paths[room], change, headers={"If-Match": known})
            assert answer.status_code == 200
            assert answer.headers["ETag"] == etag(api, paths[room])
        if change:
            late = api.patch(paths[room], change, headers={"If-Match": seen})
            assert late.status_code == 412

    def test_deeds_and_new_things_are_told_their_tag_too(
        self, api: APIClient, paths: dict[str, str], now: datetime
    ) -> None:
        times = {"start_time": iso(now), "stop_time": iso(now + timedelta(hours=1))}
        filters = {"tag": "b", "operator_code": ["9"]}
        new = api.post(f"{API}mailings/", {**times, "text": "Hello", "filters": filters})
        assert new.headers["ETag"] == etag(api, f"{API}mailings/{new.json()['id']}/")
        for deed in ("pause", "resume", "cancel"):
            seen = etag(api, paths["mailings"])
            answer = api.post(f"{paths['mailings']}{deed}/", headers={"If-Match": seen})
            assert answer.headers["ETag"] == etag(api, paths["mailings"]) != seen

    def test_what_is_not_there_is_404_whatever_was_seen(self, api: APIClient) -> None:
        for seen in ("*", NOTHING):
            assert api.patch(f"{API}clients/5/", {}, headers={"If-Match": seen}).status_code == 404


def client_of(user: User) -> APIClient:
    api = JsonClient()
    api.force_authenticate(user)
    return api


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    @pytest.mark.parametrize(
        ("room", "field", "values"),
        [
            ("clients", "tag", [f"tag {number}" for number in range(6)]),
            ("mailings", "text", [f"Text {number}" for number in range(6)]),
            ("sender", "rate", [float(number) for number in range(1, 7)]),
        ],
    )
    def test_of_editors_who_have_seen_the_same_one_wins(
        self,
        operator: User,
        paths: dict[str, str],
        at_once: AtOnce,
        room: str,
        field: str,
        values: list[Any],
    ) -> None:
        path, api = paths[room], client_of(operator)
        seen = {"If-Match": etag(api, path)}
        answers = at_once(
            *(
                partial(client_of(operator).patch, path, {field: value}, headers=seen)
                for value in values
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, *[412] * 5]
        (won,) = (answer.json()[field] for answer in answers if answer.status_code == 200)
        assert api.get(path).json()[field] == won

    def test_edits_of_different_fields_are_all_saved(
        self, operator: User, paths: dict[str, str], at_once: AtOnce, now: datetime
    ) -> None:
        later = iso(now + timedelta(hours=3))
        for number in range(5):
            edits: list[tuple[str, dict[str, Any]]] = [
                ("mailings", {"text": f"Text {number}"}),
                ("mailings", {"filters": {"tag": str(number)}}),
                ("mailings", {"stop_time": later}),
                ("clients", {"tag": str(number)}),
                ("clients", {"phone_number": f"7{900 + number}1234567"}),
            ]
            answers = at_once(
                *(partial(client_of(operator).patch, paths[room], edit) for room, edit in edits)
            )
            assert [answer.status_code for answer in answers] == [200] * 5
            for room, edit in edits:
                assert edit.items() <= client_of(operator).get(paths[room]).json().items()
            assert Client.objects.get().operator_code == str(900 + number)

    def test_messages_that_are_moved_in_opposite_directions_do_not_wait_for_each_other(
        self,
        operator: User,
        make_message: Callable[..., Message],
        at_once: AtOnce,
    ) -> None:
        one, other = make_message(), make_message()
        for _ in range(5):
            pairs = [(one, other.mailing_id), (other, one.mailing_id)]
            answers = at_once(
                *(
                    partial(client_of(operator).patch, f"{API}messages/{row.pk}/", {"mailing": to})
                    for row, to in pairs
                )
            )
            assert [answer.status_code for answer in answers] == [200, 200]
            one.refresh_from_db()
            other.refresh_from_db()


@given(st.lists(st.text("abc0!#'*+-/ W", max_size=5), max_size=5), st.booleans())
def test_a_list_of_tags_names_its_tags_and_no_others(tags: list[str], is_weak: bool) -> None:
    prefix = "W/" if is_weak else ""
    header = " , ".join(f'{prefix}"{tag}"' for tag in tags)
    for tag in tags:
        assert is_among(f'"{tag}"', header)
    assert not is_among('"none of them"', header)
