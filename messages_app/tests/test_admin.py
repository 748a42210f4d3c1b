from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from django.urls import reverse

from clients.models import Client
from mailings.services import edit_mailing
from messages_app import services
from messages_app.admin.labels import describe
from messages_app.admin.messages import MessageAdmin
from messages_app.models import Message, Withdrawal
from messages_app.tests.scenes import open_books

pytestmark = pytest.mark.django_db

LIST = "/admin/messages_app/message/"
Status = Message.Status

MakeClients = Callable[..., list[Client]]
MakeMessage = Callable[..., Message]
Queued = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def make_message(
    make_clients: MakeClients, make_mailing: Callable[..., Any], now: datetime
) -> MakeMessage:
    """Return a function that saves a message: due, of a running mailing of its own."""

    def make(**fields: Any) -> Message:
        [client] = make_clients(1)
        due = None if fields.get("status") == Status.SUCCESS else now
        defaults = {
            "client": client,
            "phone_number": client.phone_number,
            "next_attempt_at": due,
        }
        mailing = fields.pop("mailing", None) or make_mailing()
        return Message.objects.create(**{**defaults, "mailing": mailing, **fields})

    return make


def page_of(message: Message) -> str:
    return reverse("admin:messages_app_message_change", args=[message.pk])


def do_with(browser: Browser, action: str, *messages: Message, **more: str) -> str:
    post = {"action": action, "_selected_action": [message.pk for message in messages], **more}
    return browser.post(LIST, post, follow=True).content.decode()


def found(browser: Browser, query: str) -> set[int]:
    response = browser.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return {message.pk for message in response.context["cl"].result_list}


class TestAdding:
    def test_adding_a_client_by_hand_sends_at_once(
        self,
        admin_client: Browser,
        make_clients: MakeClients,
        make_mailing: Callable[..., Any],
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        mailing, [client] = make_mailing(filters={"tag": "nobody"}), make_clients(1)
        with django_capture_on_commit_callbacks(execute=True):
            response = admin_client.post(
                f"{LIST}add/", {"mailing": mailing.pk, "client": client.pk}
            )
        message = Message.objects.get()
        assert response.status_code == 302
        assert message.is_manual
        assert message.phone_number == client.phone_number
        assert ("send_message", mailing.pk, 0) in queued()

    def test_adding_the_same_client_twice_is_refused(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        message = make_message()
        page = admin_client.post(
            f"{LIST}add/", {"mailing": message.mailing_id, "client": message.client_id}
        )
        assert "This client already has a message of this mailing." in page.content.decode()

    def test_adding_to_a_mailing_whose_time_is_over_is_refused_in_words(
        self,
        admin_client: Browser,
        make_clients: MakeClients,
        make_mailing: Callable[..., Any],
        now: datetime,
    ) -> None:
        mailing, [client] = make_mailing(stop_time=now), make_clients(1)
        page = admin_client.post(f"{LIST}add/", {"mailing": mailing.pk, "client": client.pk})
        assert "The mailing is over" in page.content.decode()
        assert not Message.objects.exists()

    def test_offers_the_mailings_that_are_not_over_by_what_they_say(
        self, admin_client: Browser, make_mailing: Callable[..., Any]
    ) -> None:
        mailing = make_mailing(text="Come and see")
        make_mailing(text="Too late", status="finished", success_count=0)
        page = admin_client.get(f"{LIST}add/?mailing={mailing.pk}").content.decode()
        assert f"{mailing}: Come and see" in page
        assert "Too late" not in page

    @pytest.mark.parametrize("value", ["abc", "%00", "99999999999999999999999", "-1"])
    def test_takes_no_nonsense_from_the_address(self, value: str, admin_client: Browser) -> None:
        address = f"{LIST}add/?mailing={value}&client={value}"
        assert admin_client.get(address).status_code == 200

    def test_clients_are_suggested_by_the_beginning_of_their_number(
        self, admin_client: Browser, make_clients: MakeClients
    ) -> None:
        [client] = make_clients(1)
        asked = {"app_label": "messages_app", "model_name": "message", "field_name": "client"}
        for term, expected in ((client.phone_number, [str(client.pk)]), ("\0", None), ("x", [])):
            answer = admin_client.get("/admin/autocomplete/", {**asked, "term": term})
            results = [result["id"] for result in answer.json()["results"]]
            assert results == ([str(client.pk)] if expected is None else expected)


class TestSendingAgain:
    def test_makes_failed_messages_due_and_names_those_that_are_not_failed(
        self,
        admin_client: Browser,
        make_message: MakeMessage,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        failed = make_message(status=Status.FAIL, next_attempt_at=None)
        sent = make_message(status=Status.SUCCESS)
        with django_capture_on_commit_callbacks(execute=True):
            page = do_with(admin_client, "send_selected_again", failed, sent)
        assert "1 message will be sent again." in page
        assert f"{sent}: This message was sent already." in page
        failed.refresh_from_db()
        assert failed.next_attempt_at
        assert ("send_message", failed.mailing_id, 0) in queued()

    def test_is_a_button_on_the_page_of_a_failed_message_only(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        failed = make_message(status=Status.FAIL, next_attempt_at=None)
        address = reverse("admin:messages_app_message_resend", args=[failed.pk])
        assert address in admin_client.get(page_of(failed)).content.decode()
        assert "will be sent again" in admin_client.post(address, follow=True).content.decode()
        pending = make_message()
        assert "Send again" not in admin_client.get(page_of(pending)).content.decode()

    def test_is_refused_while_the_mailing_does_not_run(
        self, admin_client: Browser, make_message: MakeMessage, make_mailing: Callable[..., Any]
    ) -> None:
        failed = make_message(status=Status.FAIL, mailing=make_mailing(status="paused"))
        page = admin_client.post(f"{LIST}{failed.pk}/resend/", follow=True).content.decode()
        assert "The mailing does not run. Messages are sent again while it runs." in page

    def test_is_not_done_by_following_a_link(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        failed = make_message(status=Status.FAIL, next_attempt_at=None)
        assert admin_client.get(f"{LIST}{failed.pk}/resend/").status_code == 405
        assert admin_client.post(f"{LIST}99999999999999999999/resend/").status_code == 404


class TestWithdrawing:
    def test_selected_messages_are_withdrawn_after_a_question_unless_they_were_sent(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        pending, sent = make_message(), make_message(status=Status.SUCCESS)
        question = do_with(admin_client, "delete_selected", pending, sent)
        assert "Withdraw what is selected: 2?" in question
        assert "nor planned for them again." in question
        page = do_with(admin_client, "delete_selected", pending, sent, post="yes")
        assert f"{sent}: This message was sent already." in page
        assert list(Message.objects.all()) == [sent]
        assert Withdrawal.objects.get().client == pending.client

    def test_a_message_in_flight_stays(
        self, admin_client: Browser, make_message: MakeMessage, now: datetime
    ) -> None:
        message = make_message(lease_token=-1, lease_until=now + timedelta(minutes=1))
        response = admin_client.post(f"{LIST}{message.pk}/delete/", {"post": "yes"}, follow=True)
        assert "on its way to the sender. Try again" in response.content.decode()
        assert Message.objects.exists()

    def test_where_the_mailing_is_deleted_meanwhile_nothing_is_there_any_more(
        self,
        admin_client: Browser,
        make_message: MakeMessage,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def withdraw_late(message: Message, **times: Any) -> None:
            type(message.mailing).objects.update(deleted_at=now)
            withdraw(message, **times)

        withdraw = services.withdraw_message
        monkeypatch.setattr(services, "withdraw_message", withdraw_late)
        message = make_message()
        response = admin_client.post(f"{LIST}{message.pk}/delete/", {"post": "yes"}, follow=True)
        assert "It is no longer there." in response.content.decode()

    def test_is_a_button_where_it_is_possible(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        pending, sent = make_message(), make_message(status=Status.SUCCESS)
        assert "Withdraw" in admin_client.get(page_of(pending)).content.decode()
        assert "Withdraw" not in admin_client.get(page_of(sent)).content.decode()
        assert "Delete message" not in admin_client.get(page_of(sent)).content.decode()


class TestList:
    def test_asks_as_many_questions_for_many_messages_as_for_few(
        self, admin_client: Browser, make_message: MakeMessage, django_assert_num_queries: Any
    ) -> None:
        make_message()
        # Session, user, preferences, row, heartbeats; what the ledger counts, how far to look, rows
        # with their clients.
        with django_assert_num_queries(5 + 3):
            admin_client.get(LIST)
        for _ in range(20):
            make_message()
        with django_assert_num_queries(5 + 3):
            admin_client.get(LIST)

    def test_goes_on_where_a_page_ends_without_numbers_of_pages(
        self,
        admin_client: Browser,
        make_message: MakeMessage,
        make_mailing: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(MessageAdmin, "list_per_page", 4)
        mailing = make_mailing()
        make_message()  # of another mailing
        wanted = {make_message(mailing=mailing).pk for _ in range(6)}
        of_nobody = make_message(mailing=mailing)
        cast(Client, of_nobody.client).delete()
        open_books()
        seen: list[int] = []
        address = f"?mailing={mailing.pk}&standing=waiting"
        while address:
            page = admin_client.get(f"{LIST}{address}").context["cl"]
            assert page.result_count == 7
            seen += [message.pk for message in page.result_list]
            address = page.paginator.older
        assert sorted(seen) == sorted({*wanted, of_nobody.pk})

    @pytest.mark.parametrize("standing", ["sent", "waiting", "retried", "failed", "unknown"])
    @pytest.mark.parametrize("of_mailing", [True, False])
    def test_shows_just_what_a_panel_counts(
        self,
        of_mailing: bool,
        standing: str,
        admin_client: Browser,
        make_message: MakeMessage,
        make_mailing: Callable[..., Any],
        now: datetime,
    ) -> None:
        mailing = make_mailing()
        failed: dict[str, Any] = {"status": Status.FAIL, "mailing": mailing, "attempts": 1}
        of_each = {
            "sent": make_message(status=Status.SUCCESS, mailing=mailing),
            "waiting": make_message(mailing=mailing),
            "retried": make_message(**failed, error_code="unconfirmed"),
            "failed": make_message(**failed, error_code="rejected", next_attempt_at=None),
            "unknown": make_message(**failed, error_code="unconfirmed", next_attempt_at=None),
        }
        open_books()
        query = f"mailing={mailing.pk}&" if of_mailing else ""
        page = admin_client.get(f"{LIST}?{query}standing={standing}").context["cl"]
        assert list(page.result_list) == [of_each[standing]]
        assert page.result_count == 1

    def test_is_filtered_by_mailing_client_status_and_error_code(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        rejected = make_message(status=Status.FAIL, error_code="rejected")
        sent = make_message(status=Status.SUCCESS)
        assert found(admin_client, f"mailing={sent.mailing_id}") == {sent.pk}
        assert found(admin_client, f"client={sent.client_id}") == {sent.pk}
        assert found(admin_client, "status__exact=fail") == {rejected.pk}
        assert found(admin_client, "error_code=rejected") == {rejected.pk}
        assert found(admin_client, f"mailing={sent.mailing_id}&status__exact=fail") == set()

    def test_is_searched_by_the_number_even_of_a_client_who_was_deleted(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        message, other = make_message(), make_message()
        assert message.client
        number = message.phone_number
        assert found(admin_client, f"q=%2B{number[:1]}+{number[1:]}") == {message.pk}
        assert found(admin_client, f"q={number[:5]}") == {message.pk, other.pk}
        assert found(admin_client, "q=hello") == set()
        message.client.delete()
        assert found(admin_client, f"q={number}") == {message.pk}

    @pytest.mark.parametrize(
        "query",
        [
            "mailing=abc",
            "mailing=99999999999999999999999",
            "mailing=%00",
            "mailing=-1",
            "mailing=1&mailing=2",
            "client=1.5",
            "mailing__text__contains=x",
            "mailing__exact=99999999999999999999999",
            "client__exact=99999999999999999999999",
            "id=99999999999999999999999",
            "status__exact=%00",
            "status__exact=nonsense",
            "error_code=%00",
            "q=%00",
            "q=%2B",
            "client__isnull=maybe",
            "p=99999999999999999999",
            "standing=nonsense",
            "at=nonsense",
            "at=:1&standing=failed",
            "mailing=1&at=1:99999999999999999999999",
        ],
    )
    def test_takes_nonsense_in_the_address(
        self, query: str, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        make_message()
        assert admin_client.get(f"{LIST}?{query}", follow=True).status_code == 200


class TestPage:
    def test_tells_everything_in_words(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        message = make_message(
            status=Status.FAIL, next_attempt_at=None, error_code="rejected", error="No such number."
        )
        page = admin_client.get(page_of(message)).content.decode()
        assert "Failed for good. No such number." in page
        assert f"+{message.phone_number}" in page
        assert "Hello" in page
        assert 'name="_save"' not in page

    def test_shows_the_text_that_went_out_and_not_the_present_one(
        self, admin_client: Browser, make_message: MakeMessage, now: datetime
    ) -> None:
        message = make_message(status=Status.SUCCESS, attempts=1, text_version=1)
        edited = message.mailing
        edited.text = "What others get from now on"
        edit_mailing(edited, now=now)
        unsent = make_message(mailing=edited)
        shown = [admin_client.get(page_of(each)).content.decode() for each in (message, unsent)]
        assert [edited.text in page for page in shown] == [False, True]
        assert ["Hello" in page for page in shown] == [True, False]

    def test_there_is_none_of_a_message_of_a_deleted_mailing(
        self, admin_client: Browser, make_message: MakeMessage, now: datetime
    ) -> None:
        message = make_message()
        type(message.mailing).objects.update(deleted_at=now)
        assert admin_client.get(page_of(message)).status_code == 302
        assert admin_client.post(f"{LIST}{message.pk}/resend/").status_code == 404

    def test_shows_a_message_whose_client_was_deleted(
        self, admin_client: Browser, make_message: MakeMessage
    ) -> None:
        message = make_message(client=None)
        page = admin_client.get(page_of(message)).content.decode()
        assert "deleted" in page
        assert f"+{message.phone_number}" in page

    def test_cannot_be_written_to(self, admin_client: Browser, make_message: MakeMessage) -> None:
        message = make_message()
        assert admin_client.post(page_of(message), {"status": "success"}).status_code == 403
        assert Message.objects.get().status == Status.PENDING

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({}, "Not sent yet. It is due at 2030-01-01 00:00:00."),
            ({"leased": 1}, "On its way to the sender."),
            ({"leased": -1}, "Not sent yet. It is due at 2030-01-01 00:00:00."),
            (
                {"status": "fail", "error": "Busy."},
                "The last attempt failed. Busy. It is due at 2030-01-01 00:00:00.",
            ),
            ({"status": "fail", "next_attempt_at": None}, "Failed for good."),
            ({"status": "success"}, "Sent at 2030-01-01 00:00:00."),
        ],
    )
    def test_says_what_became_of_it_and_what_comes_next(
        self, fields: dict[str, Any], words: str
    ) -> None:
        at = datetime.fromisoformat("2030-01-01T00:00:00Z")
        leased = fields.pop("leased", None)
        until = leased and at + timedelta(seconds=leased)
        message = Message(**{"next_attempt_at": at, "sent_at": at, "lease_until": until, **fields})
        assert describe(message, at) == words


class TestRights:
    def operator(self, browser: Browser, *rights: str) -> Browser:
        user = User.objects.create_user("operator", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=rights))
        browser.force_login(user)
        return browser

    def test_staff_without_rights_sees_nothing(
        self, client: Browser, make_message: MakeMessage
    ) -> None:
        message = make_message(status=Status.FAIL, next_attempt_at=None)
        browser = self.operator(client)
        for address in (LIST, f"{LIST}add/", page_of(message), f"{LIST}{message.pk}/delete/"):
            assert browser.get(address).status_code == 403
        assert browser.post(f"{LIST}{message.pk}/resend/").status_code == 403

    def test_who_may_only_look_sends_and_withdraws_nothing(
        self, client: Browser, make_message: MakeMessage
    ) -> None:
        message = make_message(status=Status.FAIL, next_attempt_at=None)
        browser = self.operator(client, "view_message")
        page = browser.get(page_of(message)).content.decode()
        assert "Send again" not in page
        assert "Withdraw" not in page
        assert browser.post(f"{LIST}{message.pk}/resend/").status_code == 403
        do_with(browser, "send_selected_again", message)
        do_with(browser, "delete_selected", message, post="yes")
        assert Message.objects.get().next_attempt_at is None


def test_the_list_of_one_mailing_leads_to_the_export_of_its_results(
    admin_client: Browser, make_message: MakeMessage
) -> None:
    pk = make_message(status=Status.FAIL, error_code="rejected").mailing_id
    address = f"/api/v1/mailings/{pk}/results.csv"

    page = admin_client.get(f"{LIST}?mailing={pk}&status__exact=fail&p=0").content.decode()

    assert f"{address}?status=fail" in page
    assert "79" in b"".join(admin_client.get(f"{address}?status=fail")).decode()
    for query in ("", f"mailing={pk}&client=1", f"mailing={pk}&q=7999", "mailing=x"):
        assert address not in admin_client.get(f"{LIST}?{query}").content.decode()
