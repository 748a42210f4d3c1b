import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Message, SendingControl
from messages_app.tests.scenes import open_books
from toolkit import clock

PHONE = {"width": 390, "height": 844}

LIST = "/admin/mailings/mailing/"
ROOMS = [
    "/admin/",
    LIST,
    f"{LIST}add/",
    "/admin/clients/client/",
    "/admin/clients/client/add/",
    "/admin/messages_app/message/",
    "/admin/messages_app/message/add/",
    "/admin/messages_app/sendingcontrol/",
    "/admin/django_celery_beat/periodictask/",
    "/admin/django_celery_beat/periodictask/add/",
    "/admin/knox/authtoken/add/",
    "/admin/auth/user/",
]

MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]


def test_an_operator_logs_in_writes_a_mailing_finds_it_in_the_list_and_pauses_it(
    open_page: Callable[..., Page], operator: User, make_clients: MakeClients
) -> None:
    make_clients(3, tag="vip")
    make_clients(2, tag="new")
    page = open_page()
    page.goto("/admin/")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill("Long-enough-1")
    page.get_by_role("button", name="Log in").click()

    page.get_by_role("link", name="Write a mailing").click()
    page.locator("#id_text").fill("Come and see")
    expect(page.locator("#matching")).to_contain_text("This goes to everybody: 5 clients.")
    page.locator("#id_tag + .select2").click()
    page.keyboard.type("v")
    page.get_by_role("option", name="vip · 3").click()
    expect(page.locator("#matching")).to_contain_text("3 clients")
    page.get_by_role("button", name="Save and review").click()
    page.wait_for_url("**/review/")
    mailing = Mailing.objects.get()
    assert (mailing.filters, mailing.status) == ({"tag": ["vip"]}, "draft")
    page.get_by_role("button", name="Send to 3 clients now").click()
    page.wait_for_url(f"**/{mailing.pk}/change/")

    page.get_by_role("link", name="Mailings").first.click()
    row = page.locator("#result_list tr", has_text="Come and see")
    expect(row).to_contain_text(re.compile("Scheduled|Running"))
    row.get_by_role("link", name="Come and see").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#panel")).to_contain_text("Paused")
    mailing.refresh_from_db()
    assert mailing.status == Mailing.Status.PAUSED


def test_cancelling_asks_first(enter: Callable[..., Page], make_mailing: MakeMailing) -> None:
    mailing = make_mailing()
    page = enter()
    page.goto(f"{LIST}{mailing.pk}/change/")
    page.get_by_role("link", name="Cancel for good").click()
    page.get_by_role("link", name="Keep it").click()
    expect(page.locator("#panel")).to_contain_text("Running")
    page.get_by_role("link", name="Cancel for good").click()
    page.get_by_role("button", name="Cancel it for good").click()
    expect(page.locator("#panel")).to_contain_text("Cancelled")
    mailing.refresh_from_db()
    assert mailing.status == Mailing.Status.CANCELLED


def test_the_page_of_a_mailing_keeps_counting_by_itself(
    enter: Callable[..., Page], make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    mailing = make_mailing()
    page = enter()
    page.clock.install()
    page.goto(f"{LIST}{mailing.pk}/change/")
    page.locator("#id_text").fill("Half a sentence")
    expect(page.locator("#panel")).to_contain_text("All messages 0")
    [client] = make_clients(1)
    Message.objects.create(mailing=mailing, client=client, status="success")
    open_books()
    page.clock.fast_forward(6000)
    expect(page.locator("#panel")).to_contain_text("All messages 1")
    assert page.locator("#id_text").input_value() == "Half a sentence"


def test_who_was_logged_out_meanwhile_keeps_what_they_wrote(
    enter: Callable[..., Page], make_mailing: MakeMailing
) -> None:
    mailing = make_mailing()
    page = enter()
    page.clock.install()
    page.goto(f"{LIST}{mailing.pk}/change/")
    with page.expect_response("**/mailing/text/"):  # its length is asked for
        page.locator("#id_text").fill("Half a sentence")
        page.clock.fast_forward(1000)
    page.context.clear_cookies()
    with page.expect_response("**/login/**"):
        page.clock.fast_forward(6000)
    expect(page.locator("#panel")).to_contain_text("Running")
    assert page.locator("#id_password").count() == 0
    assert page.locator("#id_text").input_value() == "Half a sentence"


def test_messages_are_sent_again_from_the_list(
    enter: Callable[..., Page], make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    [client] = make_clients(1)
    message = Message.objects.create(mailing=make_mailing(), client=client, status="fail")
    page = enter()
    page.goto("/admin/messages_app/message/")
    page.locator("#result_list tbody input.action-select").check()
    page.get_by_label("Select action to run").select_option("send_selected_again")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("1 message will be sent again.")).to_be_visible()
    message.refresh_from_db()
    assert message.next_attempt_at


def test_an_operator_pauses_all_sending_and_every_page_says_so(enter: Callable[..., Page]) -> None:
    page = enter()
    page.goto("/admin/")
    page.get_by_role("button", name="Stop all sending").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("The text is wrong")
    dialog.get_by_role("button", name="Stop all sending").click()
    expect(page.locator(".stop-on")).to_contain_text("The text is wrong")
    page.get_by_role("link", name="Clients").first.click()
    expect(page.locator(".stop-on")).to_contain_text("The text is wrong")
    assert SendingControl.objects.get().is_paused
    page.get_by_role("button", name="Resume sending").click()
    expect(page.get_by_role("button", name="Stop all sending").first).to_be_visible()
    assert not SendingControl.objects.get().is_paused


def test_the_page_of_the_sender_tells_what_happens_meanwhile(enter: Callable[..., Page]) -> None:
    page = enter()
    page.clock.install()
    page.goto("/admin/messages_app/sendingcontrol/")
    expect(page.locator("#panel")).to_contain_text("The sender takes messages")
    page.locator("#id_rate").fill("2.5")
    SendingControl.objects.update(opened_at=clock.now(), reason="HTTP 503: down")
    page.clock.fast_forward(6000)
    expect(page.get_by_role("alert")).to_contain_text("HTTP 503: down")
    page.context.clear_cookies()
    with page.expect_response("**/login/**"):
        page.clock.fast_forward(6000)
    expect(page.get_by_role("alert")).to_contain_text("HTTP 503: down")
    assert page.locator("#id_rate").input_value() == "2.5"


@pytest.mark.parametrize(
    "look", [{"color_scheme": "light"}, {"color_scheme": "dark", "viewport": PHONE}]
)
def test_no_room_complains_or_asks_another_host_or_is_wider_than_its_window(
    look: dict[str, Any],
    enter: Callable[..., Page],
    make_mailing: MakeMailing,
    make_clients: MakeClients,
) -> None:
    [client] = make_clients(1)
    running, finished = make_mailing(), make_mailing(status="finished", success_count=1)
    message = Message.objects.create(mailing=running, client=client)
    pages = [
        *ROOMS,
        f"{LIST}{running.pk}/change/",
        f"{LIST}{finished.pk}/change/",
        f"{LIST}{finished.pk}/delete/",
        f"/admin/clients/client/{client.pk}/change/",
        f"/admin/messages_app/message/{message.pk}/change/",
    ]
    page = enter(**look)
    for address in pages:
        page.goto(address)
        if page.locator("#matching").count():
            expect(page.locator("#matching")).to_contain_text("client")
        width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert width <= 0, f"{address} is {width} pixels too wide"
