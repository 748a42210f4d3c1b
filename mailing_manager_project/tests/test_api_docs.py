"""Swagger UI in a real browser, without any outside network."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from knox.models import AuthToken
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from clients.models import Client
from tests.browser.chromium import running_chromium


@pytest.fixture
def token(live_server: LiveServer) -> str:
    """Return a token, and save a client to be listed."""
    Client.objects.create(phone_number="79991234567", operator_code="999")
    return str(AuthToken.objects.create(User.objects.create_superuser("operator"))[1])


@pytest.fixture
def complaints() -> list[str]:
    """Return what the page did that it should not: errors, and requests to other hosts."""
    return []


@pytest.fixture
def page(live_server: LiveServer, token: str, complaints: list[str]) -> Iterator[Page]:
    """Open the docs in a page whose every step is watched."""

    def note(is_wrong: object, what: object) -> None:
        if is_wrong:
            complaints.append(str(what))

    with running_chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda line: note(line.type == "error", line.text))
        page.on("pageerror", lambda error: note(True, error))
        page.on("response", lambda answer: note(answer.status >= 400, answer.url))
        page.on("request", lambda request: note(is_foreign(request.url, live_server), request.url))
        page.goto(f"{live_server.url}/api/v1/docs/")
        yield page


def is_foreign(url: str, live_server: LiveServer) -> bool:
    return not url.startswith((f"{live_server.url}/", "data:"))


def test_whoever_enters_a_token_under_authorize_can_try_the_api(
    page: Page, token: str, complaints: list[str]
) -> None:
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".dialog-ux")
    scheme = dialog.locator(".auth-container", has_text="token (apiKey)")
    expect(scheme).to_contain_text("create_api_token")
    scheme.get_by_role("textbox").fill(f"Token {token}")
    scheme.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").first.click()

    operation = page.locator("#operations-clients-clients_list")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    answer = operation.locator(".live-responses-table tbody")
    expect(answer.locator(".response-col_status")).to_have_text("200", timeout=20_000)
    expect(answer).to_contain_text("79991234567")
    # What is kept in the browser can be read by every page of this host, and by the next user.
    assert token not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert complaints == []


def test_the_docs_show_every_room_and_refer_to_no_other_host(
    page: Page, live_server: LiveServer, complaints: list[str]
) -> None:
    for room in ("clients", "mailings", "messages", "sender"):
        expect(page.locator(f"#operations-tag-{room}")).to_be_visible()

    links = page.eval_on_selector_all("[src], [href]", "all => all.map(e => e.src || e.href)")

    assert links
    assert [link for link in links if is_foreign(link, live_server)] == []
    assert complaints == []
