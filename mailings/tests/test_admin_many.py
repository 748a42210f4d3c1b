"""What is done at once to all mailings that the list finds, or to all in which messages failed."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser

from clients.models import Client
from mailings.admin import many
from mailings.models import Mailing
from messages_app.models import Message
from messages_app.tests.scenes import open_books
from tests.console import button_of, confirm, question_of
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

LIST = "/admin/mailings/mailing/"
MESSAGES = "/admin/messages_app/message/"
Status = Mailing.Status

MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]


def statuses() -> list[str]:
    return list(Mailing.objects.order_by("pk").values_list("status", flat=True))


def fail(mailing: Mailing, clients: list[Client], code: str = "rejected") -> None:
    Message.objects.bulk_create(
        Message(
            mailing=mailing,
            client=client,
            status="fail",
            error_code=code,
            phone_number=client.phone_number,
        )
        for client in clients
    )
    open_books()


class TestMailings:
    def test_all_that_the_list_finds_are_paused_resumed_and_cancelled(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        queued: Any,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        for text in ("Sale today", "Sale soon", "News"):
            make_mailing(text=text)
        make_mailing(text="Sale over", status=Status.FINISHED)
        assert f"{LIST}all/pause/?q=sale" in admin_client.get(f"{LIST}?q=sale").content.decode()
        for deed, status, done in (
            ("pause", "paused", "2 mailings paused."),
            ("resume", "running", "2 mailings resumed."),
            ("cancel", "cancelled", "2 mailings cancelled."),
        ):
            with django_capture_on_commit_callbacks(execute=True):
                page = confirm(admin_client, f"{LIST}all/{deed}/?q=sale")
            assert done in page.content.decode()
            assert page.redirect_chain == [(f"{LIST}?q=sale", 302)]
            assert statuses() == [status, status, "running", "finished"]
        assert Entry.objects.filter(kind="mailings").count() == 6
        assert len([task for task, *_ in queued() if task == "finish_mailing"]) == 2

    def test_cancelling_is_asked_with_the_numbers_of_all(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        for _ in range(2):
            mailing = make_mailing()
            [client] = make_clients(1)
            Message.objects.create(mailing=mailing, client=client, next_attempt_at=now)
        open_books()
        question = question_of(admin_client.get(f"{LIST}all/cancel/"))
        assert "2 messages have not been sent yet, and will never be." in question.facts
        assert (question.is_final, question.deed) == (True, "Cancel 2 for good")
        assert statuses() == ["running", "running"]

    def test_another_one_that_is_found_meanwhile_is_told_first(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        make_mailing()
        button = button_of(admin_client.get(f"{LIST}all/pause/"))
        make_mailing()
        page = admin_client.post(f"{LIST}all/pause/", button).content.decode()
        assert "Something has changed meanwhile." in page
        assert statuses() == ["running", "running"]

    def test_one_order_takes_so_many_and_so_long_and_says_that_there_are_more(
        self, admin_client: Browser, make_mailing: MakeMailing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            make_mailing()
        for limit, seconds, left in ((2, 60.0, 1), (10, -1.0, 2)):
            Mailing.objects.update(status="running")
            monkeypatch.setattr(many, "LIMIT", limit)
            monkeypatch.setattr(many, "TIME_BOX", seconds)
            page = confirm(admin_client, f"{LIST}all/pause/").content.decode()
            assert "There are more, to which that was not done." in page
            assert statuses().count("running") == left
        monkeypatch.setattr(many, "TIME_BOX", 60.0)
        page = confirm(admin_client, f"{LIST}all/pause/").content.decode()
        assert "There are more" not in page

    @pytest.mark.parametrize("query", ["", "?q=nothing", "?nonsense__x=1", "?start_time_from=%00"])
    def test_nothing_is_found_by_nonsense(self, query: str, admin_client: Browser) -> None:
        answer = admin_client.get(f"{LIST}all/pause/{query}")
        assert answer.status_code == 302

    def test_who_may_only_look_is_offered_nothing(
        self, client: Browser, make_mailing: MakeMailing
    ) -> None:
        make_mailing()
        somebody = User.objects.create_user("somebody", is_staff=True)
        somebody.user_permissions.add(Permission.objects.get(codename="view_mailing"))
        client.force_login(somebody)
        assert "/all/" not in client.get(LIST).content.decode()


class TestMessages:
    @pytest.mark.parametrize(
        ("query", "links"),
        [
            ("", []),
            ("standing=waiting", []),
            ("standing=retried", []),
            ("status__exact=success", []),
            ("standing=failed&error_code=unconfirmed", []),
            ("standing=failed&client=1", []),
            ("q=7999&status__exact=fail", []),
            ("status__exact=fail", ["all/resend/?"]),
            ("error_code=rejected", ["all/resend/?error_code=rejected"]),
            ("mailing=7&standing=failed&error_code=expired", ["7/resend/?error_code=expired"]),
            (
                "mailing=7&standing=unknown",
                ["7/resend/?error_code=unconfirmed", "7/confirm/"],
            ),
            (
                "status__exact=fail&error_code=unconfirmed",
                ["all/resend/?error_code=unconfirmed", "all/confirm/"],
            ),
        ],
    )
    def test_their_list_leads_to_what_is_done_to_all_that_it_finds(
        self, query: str, links: list[str], admin_client: Browser
    ) -> None:
        page = admin_client.get(f"{MESSAGES}?{query}")
        assert [address for address, _ in page.context["deeds"]] == [LIST + each for each in links]

    def test_failed_for_good_are_all_reasons_but_that_nobody_knows(
        self, admin_client: Browser
    ) -> None:
        [(address, _)] = admin_client.get(f"{MESSAGES}?standing=failed").context["deeds"]
        assert "error_code=rejected" in address
        assert "unconfirmed" not in address

    def test_what_failed_in_all_that_run_is_sent_again(
        self, admin_client: Browser, make_mailing: MakeMailing, make_clients: MakeClients
    ) -> None:
        first, second, third = make_mailing(), make_mailing(), make_mailing(status=Status.PAUSED)
        for mailing in (first, third):
            fail(mailing, make_clients(2))
        fail(second, make_clients(1), "expired")
        address = f"{LIST}all/resend/?error_code=rejected"
        facts = question_of(admin_client.get(address)).facts
        assert facts == [
            f"1 mailing: {first}.",
            "2 messages that failed for good are due again.",
        ]
        page = confirm(admin_client, address).content.decode()
        assert "1 mailing told to send again what failed." in page
        assert list(Mailing.objects.exclude(failed_up_to=None)) == [first]

    def test_once_the_mailing_is_over_it_leads_to_a_new_one(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        over = make_mailing(status=Status.CANCELLED)
        answer = admin_client.get(f"{LIST}{over.pk}/resend/?error_code=unconfirmed")
        assert answer["Location"] == f"{LIST}add/?resends={over.pk}&error_code=unconfirmed"
