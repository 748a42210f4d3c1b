"""The commands for operators do what the console and REST do, and say it to people and programs."""

import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_django import DjangoCaptureOnCommitCallbacks
from rest_framework.test import APIClient

from clients.models import Client, ClientImport
from mailings.models import Mailing
from messages_app.models import Attempt, Doorbell, Heartbeat, Lease, Message, SendingControl
from messages_app.tests.scenes import accept, claim_ids
from tests.rest import iso
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
Queued = Callable[[], list[tuple[Any, ...]]]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def run(*arguments: object) -> str:
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out, no_color=True)
    return out.getvalue()


def run_json(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json"))


def refused(*arguments: object) -> tuple[str, int]:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return str(caught.value), caught.value.returncode


@pytest.fixture(autouse=True)
def at_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "olga")


def entries() -> list[tuple[str, str, str, str]]:
    rows = Entry.objects.order_by("pk").values_list("door", "username", "deed", "kind")
    return list(rows)


class TestMailings:
    def test_lists_the_newest_first_with_what_the_console_says_of_them(
        self, make_mailing: Make, make_message: Make, now: datetime
    ) -> None:
        running = make_mailing(text="Sale\nnow", last_run_time=now)
        accept(claim_ids(running, now), at=now)
        make_message(mailing=running)
        draft = make_mailing(status="draft")

        headers, first, second = run("mailings", "list").splitlines()

        assert headers.split()[:4] == ["ID", "State", "Starts", "Stops"]
        assert first.split()[:2] == [str(draft.pk), "Draft"]
        assert second.startswith(f"{running.pk}")
        assert f"Running  {now - HOUR:%Y-%m-%d %H:%M:%S}" in second
        assert second.endswith("Sale now")

    def test_lists_those_of_a_status_and_no_more_than_asked_for(self, make_mailing: Make) -> None:
        ids = [make_mailing(status=status).pk for status in ("paused", "running", "paused")]
        found = run_json("mailings", "list", "--status", "paused", "draft")
        assert [each["id"] for each in found] == [ids[2], ids[0]]
        assert [each["id"] for each in run_json("mailings", "list", "--most", 1)] == [ids[2]]

    def test_shows_one_with_the_numbers_of_rest(
        self, api: APIClient, make_mailing: Make, make_message: Make, now: datetime
    ) -> None:
        mailing = make_mailing(last_run_time=now, filters={"tag": "vip"}, text="Sale")
        make_message(mailing=mailing)
        make_message(
            mailing=mailing, status="fail", next_attempt_at=None, error_code="rejected", attempts=1
        )

        shown = run_json("mailings", "show", mailing.pk)

        rest = api.get(f"/api/v1/mailings/{mailing.pk}/").json()
        assert {name: shown[name] for name in rest} == rest
        assert shown["error_codes"] == {"rejected": 1}
        assert shown["messages"] == {
            "sent": 0,
            "waiting": 1,
            "retried": 0,
            "failed": 1,
            "unknown": 0,
            "total": 2,
        }
        lines = run("mailings", "show", mailing.pk).splitlines()
        facts = dict(line.split("  ", 1) for line in lines if "  " in line)
        assert facts["To"].strip() == "tag vip"
        assert facts["Failed, rejected"].strip() == "1"

    def test_pauses_resumes_and_cancels_like_rest(
        self,
        make_mailing: Make,
        queued: Queued,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        mailing = make_mailing()
        verbs = (["pause"], ["resume"], ["cancel", "--yes"])
        with django_capture_on_commit_callbacks(execute=True):
            states = [run("mailings", *verb, mailing.pk) for verb in verbs]

        assert states == [
            f"Mailing {mailing.pk} is {status}.\n" for status in ("paused", "running", "cancelled")
        ]
        assert entries() == [
            ("command", "olga", deed, "mailings") for deed in ("paused", "resumed", "cancelled")
        ]
        assert queued() == [
            *[("start_mailing", mailing.pk)] * 2,
            ("finish_mailing", mailing.pk),
        ]

    def test_of_several_changes_those_it_can_and_names_the_others(self, make_mailing: Make) -> None:
        draft, running = make_mailing(status="draft"), make_mailing()
        assert refused("mailings", "pause", draft.pk, 4711, running.pk) == (
            f"Mailing {draft.pk}: The mailing is a draft: it can be launched or deleted.\n"
            "There is no mailing 4711.",
            1,
        )
        assert Mailing.objects.get(pk=running.pk).status == "paused"

    def test_asks_before_it_cancels(
        self, make_mailing: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mailing = make_mailing()
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert refused("mailings", "cancel", mailing.pk) == (
            "Nobody is there to ask. Say --yes to cancel without a question.",
            1,
        )
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda question: "n")
        assert refused("mailings", "cancel", mailing.pk) == ("Nothing was cancelled.", 1)
        assert Mailing.objects.get().status == "running"
        monkeypatch.setattr("builtins.input", lambda question: "y")
        run("mailings", "cancel", mailing.pk)
        assert Mailing.objects.get().status == "cancelled"

    def test_a_verb_is_asked_for(self) -> None:
        sentence, code = refused("mailings")
        assert "VERB" in sentence
        assert code == 1


class TestSender:
    def test_shows_what_holds_sending_as_rest_does(self, api: APIClient, now: datetime) -> None:
        SendingControl.objects.update(opened_at=now, probe_at=now + HOUR, reason="HTTP 503: down")
        Heartbeat.objects.create(name="beat", at=now - 10 * MINUTE)

        shown = run_json("sender", "show")

        rest = api.get("/api/v1/sender/").json()
        moving = {"heartbeats"}
        assert {name: shown[name] for name in rest if name not in moving} == {
            name: rest[name] for name in rest if name not in moving
        }
        assert (shown["in_flight"], shown["answer_time_median"]) == (0, None)
        text = run("sender", "show")
        assert "HTTP 503: down" in text
        assert "The clock has had no heartbeat for 10 minutes." in text

    def test_stops_goes_on_and_limits_like_rest(self, queued: Queued) -> None:
        stopped = run("sender", "pause", "--reason", "The text is wrong")
        assert stopped.startswith("Sending is stopped by olga since")
        row = SendingControl.objects.get()
        assert (row.is_paused, row.pause_reason) == (True, "The text is wrong")

        assert run("sender", "resume").startswith("Sending goes on.\n")
        assert "at most 5 a second" in run("sender", "rate", "5")
        assert SendingControl.objects.get().rate == 5
        assert run_json("sender", "rate", "none")["rate"] is None

        assert entries() == [
            ("command", "olga", deed, "sender")
            for deed in ("paused", "resumed", "changed", "changed")
        ]
        assert queued() == [("send_message",)] * 4

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["rate", "0"], "from 0.01 to 1000000"),
            (["rate", "nan"], "from 0.01 to 1000000"),
            (["pause", "--reason", "x" * 201], "200 characters"),
            (["probe"], "The breaker is closed; messages are sent without a probe."),
        ],
    )
    def test_refuses_what_rest_refuses(self, arguments: list[str], words: str) -> None:
        sentence, code = refused("sender", *arguments)
        assert words in sentence
        assert code == 1
        assert entries() == []

    def test_has_the_sender_tried_at_once(self, now: datetime, queued: Queued) -> None:
        SendingControl.objects.update(opened_at=now, probe_at=now + HOUR, reason="down")
        assert "The next message that is due is the next try." in run("sender", "probe")
        assert queued() == [("send_message",)]


class TestQueue:
    def test_shows_where_messages_wait_and_since_when(
        self, make_mailing: Make, make_message: Make, now: datetime, queued: Queued
    ) -> None:
        mailing = make_mailing(last_run_time=now)
        make_message(mailing=mailing, next_attempt_at=now - 10 * MINUTE)
        Doorbell.objects.create(mailing=mailing, lane=0, expires_at=now + MINUTE)
        Lease.objects.create(mailing=mailing, token=-1, expires_at=now + MINUTE)
        make_mailing(start_time=now + HOUR, stop_time=now + 2 * HOUR, status="scheduled")
        ClientImport.objects.create(file_name="a.csv")
        current_app.send_task("send_message", [mailing.pk, 0])

        found = run_json("queue")

        (row,) = found["mailings"]
        assert 600 <= row.pop("due_for") < 660
        assert row == {
            "mailing": mailing.pk,
            "state": "Running",
            "waiting": 1,
            "retried": 0,
            "next_attempt_at": iso(now - 10 * MINUTE),
            "doorbells": 1,
            "leases": 1,
            "rate": 0.0,
        }
        assert [(each["name"], each["number"]) for each in found["others"]] == [
            ("imports", 1),
            ("changes of clients", 0),
            ("webhooks", 0),
        ]
        assert found["broker"] == {"mailings": 0, "messages": 1, "imports": 0, "webhooks": 0}
        lines = [line.split() for line in run("queue").splitlines()]
        assert [str(mailing.pk), "Running", "1", "0", "for", "10", "min", "1", "1", "0.0"] in lines
        assert ["messages", "1"] in lines

    def test_says_what_holds_everything_back(self, make_message: Make) -> None:
        make_message()
        SendingControl.objects.update(is_paused=True)
        assert run("queue").startswith("All sending is stopped.\n")

    def test_says_that_nothing_waits(self, queued: Queued) -> None:
        assert run("queue").startswith("No message waits.\n")

    @pytest.mark.usefixtures("no_reading_from_the_broker")
    def test_tells_what_it_knows_when_the_broker_is_away(self) -> None:
        assert "The broker does not answer: " in run("queue")
        assert run_json("queue")["broker"] is None


@pytest.fixture
def no_reading_from_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_read_url", "redis://127.0.0.1:1")


class TestWhy:
    def test_says_it_rule_by_rule_as_rest_does(
        self, api: APIClient, make_mailing: Make, make_message: Make, now: datetime
    ) -> None:
        mailing = make_mailing(last_run_time=now, filters={"tag": "vip"})
        message: Message = make_message(mailing=mailing, attempts=1, error_code="unavailable")
        Attempt.objects.create(
            message=message, number=1, began_at=now, error_code="unavailable", http_status=503
        )
        client = message.client_id

        told = run_json("why", mailing.pk, client)

        rest = api.get(f"/api/v1/mailings/{mailing.pk}/clients/{client}/").json()
        for each in (told, rest):  # Some name the moment at which they were asked.
            each["rules"] = [(rule["rule"], rule["holds"]) for rule in each["rules"]]
        assert told == rest
        text = run("why", mailing.pk, client)
        assert text.startswith("As things stand, it is never sent.\n")
        assert "NOT SO  tag" in text
        assert "unavailable  503" in text

    def test_takes_a_number_for_a_client(
        self, make_mailing: Make, make_clients: Make, now: datetime
    ) -> None:
        client: Client = make_clients(1)[0]
        mailing = make_mailing(start_time=now + HOUR / 2, status="scheduled")
        by_id = run("why", mailing.pk, client.pk)
        assert run("why", mailing.pk, f"+{client.phone_number}") == by_id
        assert run("why", mailing.pk, client.phone_number) == by_id

    def test_names_what_is_not_there(self, make_mailing: Make) -> None:
        mailing = make_mailing()
        assert refused("why", 4711, 1) == ("There is no mailing 4711.", 1)
        assert refused("why", mailing.pk, 4711) == ("There is no client 4711.", 1)
        sentence, code = refused("why", mailing.pk, "hello")
        assert "phone number" in sentence
        assert code == 1


class TestTail:
    def test_prints_each_change_once_as_it_happens(
        self,
        make_mailing: Make,
        make_message: Make,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        mailing = make_mailing()
        make_message(mailing=mailing)
        pauses = iter((lambda: accept(claim_ids(mailing, now), at=now), _interrupt))
        monkeypatch.setattr(
            "mailing_manager_project.management.commands.tail.sleep", lambda s: next(pauses)()
        )

        (line,) = run("tail").splitlines()

        assert f"mailing {mailing.pk}" in line
        assert line.endswith("pending → success")

    def test_prints_what_is_kept_as_rest_tells_it(self, api: APIClient, make_message: Make) -> None:
        first = make_message()
        make_message()
        feed = api.get("/api/v1/messages/changes/").json()
        lines = run("tail", "--all", "--once", "--json").splitlines()
        assert [json.loads(line) for line in lines] == feed["results"]
        lines = run("tail", "--all", "--once", "--json", "--mailing", first.mailing_id).splitlines()
        assert [json.loads(line)["message"] for line in lines] == [first.pk]
        assert run("tail", "--after", feed["next"], "--once") == ""

    def test_refuses_what_is_no_place_of_the_feed(self, make_message: Make) -> None:
        make_message()
        assert refused("tail", "--after", "x") == ("x is no cursor of the feed.", 1)
        assert refused("tail", "--after", "99.99.0.0") == (
            "What follows this place of the feed is not kept any more.",
            1,
        )


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arguments", [["mailings", "list"], ["sender", "show"], ["queue"], ["why", "1", "1"], ["tail"]]
)
def test_says_in_a_line_that_the_database_is_away(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", fail)
    assert refused(*arguments) == ("The database cannot be asked: connection refused", 2)
