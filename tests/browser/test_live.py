"""Pages that are kept up to date: quiet when nobody looks, honest when nobody answers."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Message, SendingControl
from messages_app.tests.scenes import open_books

LIST = "/admin/mailings/mailing/"
MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]


def send(mailing: Mailing, client: Client) -> None:
    Message.objects.create(mailing=mailing, client=client, status="success")
    open_books()


def hide(page: Page, is_hidden: bool) -> None:
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


def test_the_list_and_the_first_page_count_by_themselves(
    enter: Callable[..., Page], make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    mailing, clients = make_mailing(), make_clients(2)
    page = enter()
    page.clock.install()
    for address, client, said in ((LIST, clients[0], "1 sent"), ("/admin/", clients[1], "2 sent")):
        page.goto(address)
        expect(page.get_by_text(said)).to_have_count(0)
        send(mailing, client)
        page.clock.fast_forward(3000)
        expect(page.get_by_text(said)).to_be_visible()


def test_the_tab_says_how_much_is_done(
    enter: Callable[..., Page], make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    mailing, clients = make_mailing(), make_clients(2)
    Message.objects.create(mailing=mailing, client=clients[0])
    send(mailing, clients[1])
    page = enter()
    page.goto(f"{LIST}{mailing.pk}/change/")
    expect(page).to_have_title(f"50 % – {mailing}")


def test_a_hidden_page_asks_nothing_and_asks_at_once_when_it_is_shown(
    enter: Callable[..., Page], make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    mailing, [client] = make_mailing(), make_clients(1)
    page = enter()
    page.clock.install()
    page.goto(f"{LIST}{mailing.pk}/change/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    hide(page, True)
    send(mailing, client)
    page.clock.fast_forward(60_000)
    assert not [url for url in asked if "/panel/" in url]
    hide(page, False)
    expect(page.locator("#panel")).to_contain_text("All messages 1")


def test_a_page_says_that_the_server_does_not_answer_and_goes_on_when_it_does(
    enter: Callable[..., Page],
    make_mailing: MakeMailing,
    make_clients: MakeClients,
    complaints: list[str],
) -> None:
    mailing, [client] = make_mailing(), make_clients(1)
    page = enter()
    page.clock.install()
    page.goto(f"{LIST}{mailing.pk}/change/")
    asked = 0

    def refuse(route: Route) -> None:
        nonlocal asked
        asked += 1
        route.abort()

    page.route("**/panel/**", refuse)
    status = page.get_by_role("status").filter(has_text="No answer from the server since")
    for _ in range(3):
        with page.expect_event("requestfailed"):
            page.clock.fast_forward(9_000)
    expect(status).to_be_visible()
    expect(page.locator("#panel")).to_contain_text("All messages 0")
    # Asked less and less often: not every two seconds.
    assert asked <= 6
    page.unroute("**/panel/**")
    send(mailing, client)
    page.clock.fast_forward(31_000)
    expect(page.locator("#panel")).to_contain_text("All messages 1")
    expect(status).to_have_count(0)
    assert all("ERR_FAILED" in each for each in complaints)
    complaints.clear()


def test_what_stops_sending_appears_on_every_open_page(enter: Callable[..., Page]) -> None:
    page = enter()
    page.clock.install()
    page.goto("/admin/clients/client/")
    expect(page.get_by_role("alert")).to_have_count(0)
    SendingControl.objects.update(opened_at="2026-01-01T00:00:00Z", reason="HTTP 503: down")
    page.clock.fast_forward(11_000)
    expect(page.get_by_role("alert")).to_contain_text("HTTP 503: down")


def test_whoever_goes_through_the_page_by_keyboard_stays_where_they_are(
    enter: Callable[..., Page], make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    mailing, [client] = make_mailing(), make_clients(1)
    page = enter()
    page.clock.install()
    page.goto(f"{LIST}{mailing.pk}/change/")
    failed: Any = page.locator("#panel a", has_text="Failed for good")
    failed.focus()
    send(mailing, client)
    page.clock.fast_forward(3000)
    expect(page.locator("#panel")).to_contain_text("All messages 1")
    expect(failed).to_be_focused()
