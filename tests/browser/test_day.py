"""An operator's day, from the import to one client's story."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.utils.translation import gettext, ngettext, override
from playwright.sync_api import Download, FilePayload, Locator, Page, expect

from messages_app.models import ErrorCode
from tests.browser.installations import Site, log_in, running_site
from tests.browser.seed import ENVIRONMENT

WAIT = 60_000  # milliseconds, for what workers do
SIZE = 60  # clients, of whose messages a tenth fails
TEXT = "Summer sale — 20 % off until Sunday"
TABS = 100  # within which everything of a page is reached
LISTS = ("/admin/mailings/mailing/", "/admin/clients/client/", "/admin/messages_app/message/")
# Whatever would change something; the account menu stands elsewhere.
TOUCHING = """:is(main, header) :is(
  form[method=post] button,
  a:is([href*='/add/'], [href*='/delete/'], [href*='/extend/'], [href*='/cancel/'], [href*='/all/'])
)"""

Enter = Callable[[str], Page]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    environment = {**ENVIRONMENT, "MAILING_APPROVAL_ABOVE": str(SIZE - 10)}
    with running_site(tmp_path_factory.mktemp("day"), **environment) as site:
        yield site


@pytest.fixture(params=["en", "ru"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have the words of the test be those of a language."""
    with override(request.param):
        yield request.param


@pytest.fixture
def enter(site: Site, language: str, new_page: Callable[..., Page]) -> Enter:
    """Return a function that opens the first page for somebody who reads the language."""

    def enter(name: str) -> Page:
        page = new_page(site.url, locale=language, timezone_id="Europe/Moscow")
        log_in(page, name)
        return page

    return enter


def go(page: Page, title: str) -> None:
    """Click the menu."""
    page.locator("#nav-sidebar").get_by_role("link", name=title, exact=True).click()


def press(page: Page | Locator, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page | Locator, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()


def standing(page: Page, name: str) -> Locator:
    """Return the number of the messages that stand so, on a mailing's page."""
    return page.locator("#panel .standing", has_text=name).locator(".standing-number")


def rows_of(download: Download) -> list[list[str]]:
    """Return the rows of a file, without its titles."""
    with Path(download.path()).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.mark.flow
def test_a_day(site: Site, language: str, enter: Enter) -> None:
    sandbox, first = site.sandbox, "7926" if language == "en" else "7916"
    _ = gettext
    page = enter("oleg")

    # A file of clients, two of whose rows are wrong.
    go(page, _("Clients"))
    follow(page, _("Import a file"))
    tag = f"vip-{language}"
    rows = [f"+{first}{number:07},{tag},Europe/Moscow" for number in range(SIZE)]
    wrong = ["12,x,Europe/Moscow", f"{first}9999999,,Moon"]
    sheet = "\n".join(["phone_number,tag,timezone", *wrong, *rows])
    file = FilePayload(name="clients.csv", mimeType="text/csv", buffer=sheet.encode())
    page.locator("#id_file").set_input_files(file)
    press(page, _("Look at the first rows"))
    expect(page.locator("tr.is-bad")).to_have_count(2)
    press(page, _("Start the import"))
    rejected = ngettext(
        "Download %(shown)s rejected row with its reason",
        "Download %(shown)s rejected rows with their reasons",
        2,
    ) % {"shown": 2}
    with page.expect_download(timeout=WAIT) as download:
        follow(page, rejected)
    assert len(rows_of(download.value)) == 2

    # A mailing: the dash is not in GSM-7, and the tag says to whom it goes.
    go(page, _("Mailings"))
    page.locator("a[href$='/mailing/add/']").first.click()
    page.locator("#id_text").fill(TEXT)
    press(page, "— → -")
    text = TEXT.replace("—", "-")
    expect(page.locator("#id_text")).to_have_value(text)
    page.locator("#id_tag + .select2").click()
    page.keyboard.type(tag)
    page.get_by_role("option", name=f"{tag} · {SIZE}").click()
    press(page, _("Save and review"))
    clients = ngettext("%(number)s client", "%(number)s clients", SIZE) % {"number": SIZE}
    expect(page.get_by_text(clients).first).to_be_visible()

    # A test, and somebody else's approval.
    page.locator("#id_phone_number").fill("+7 999 765-43-21")
    with page.expect_navigation():
        press(page, _("Send test"))
    assert sandbox.inbox()[0]["phone"] == 79997654321
    launch = _("Send to %(clients)s now") % {"clients": clients}
    expect(page.get_by_role("button", name=launch)).to_have_count(0)
    review = page.url
    anna = enter("anna")
    anna.goto(review)
    with anna.expect_navigation():
        press(anna, _("Approve for %(clients)s") % {"clients": clients})

    # Launched; slowly enough to be watched.
    go(page, _("Sender"))
    page.locator("#id_rate").fill("4")
    press(page, _("Save"))
    sandbox.set_faults(bad_request=0.1, seed=3)
    refused = sandbox.stats()["statuses"].get("400", 0)
    page.goto(review)
    press(page, launch)
    page.wait_for_url("**/change/")
    mailing = page.url
    panel = page.locator("#panel")
    sent = standing(page, _("Sent"))
    expect(sent).not_to_have_text("0", timeout=WAIT)
    press(page, _("Pause"))
    expect(panel).to_contain_text(_("Paused"))
    press(page, _("Resume"))
    expect(panel).to_contain_text(_("Running"))

    # An emergency, which every page tells, and its end.
    press(page, _("Stop all sending"))
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("The till is down")
    press(dialog, _("Stop all sending"))
    expect(page.locator(".stop-on")).to_contain_text("The till is down")
    expect(panel).to_contain_text(_("Held back"))
    anna.goto("/admin/clients/client/")
    expect(anna.locator(".stop-on")).to_contain_text("The till is down")
    press(anna, _("Resume sending"))
    expect(anna.locator(".stop-on")).to_have_count(0)

    # The end comes by itself, and a tenth has failed.
    expect(panel).to_contain_text(_("Complete"), timeout=WAIT)
    failed = sandbox.stats()["statuses"]["400"] - refused
    assert 0 < failed < SIZE / 4
    expect(standing(page, _("Failed for good"))).to_have_text(str(failed))
    expect(sent).to_have_text(str(SIZE - failed))

    # Why, and once more, by that reason.
    sandbox.set_faults()
    page.reload()
    why = str(ErrorCode.REJECTED.label)
    row = page.locator("table.figures tr", has_text=why)
    row.get_by_role("link", name=str(failed), exact=True).click()
    expect(page.locator("#result_list tbody tr")).to_have_count(failed)
    page.goto(mailing)
    follow(row, f"{_('Send these again')}: {why}")
    press(page, _("Send %(number)s again") % {"number": failed})
    expect(standing(page, _("Failed for good"))).to_have_text("0", timeout=WAIT)
    expect(sent).to_have_text(str(SIZE), timeout=WAIT)

    # What came of it as a file, and another mailing like it.
    standing(page, _("All messages")).click()
    with page.expect_download() as download:
        page.locator(".list-tools").get_by_role("link").click()
    assert len(rows_of(download.value)) == SIZE
    page.goto(mailing)
    follow(page, _("Duplicate"))
    expect(page.locator("#id_text")).to_have_value(text)
    press(page, _("Save and review"))
    follow(page, _("Keep as draft"))
    expect(page.locator("#result_list tbody tr").first).to_contain_text(_("Draft"))

    # One client calls.
    page.keyboard.press("Control+k")
    page.keyboard.type(rows[7].split(",")[0])
    expect(page.locator("#find-hits a")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/clients/client/**")
    story = page.locator("section.story")
    expect(story).to_contain_text(text)
    expect(story).to_contain_text(_("Sent"))

    # And whoever may only look, looks.
    vera = enter("vera")
    for address in ("/admin/", mailing, page.url, *LISTS):
        vera.goto(address)
        expect(vera.locator("main")).to_be_visible()
        found = vera.locator(TOUCHING).evaluate_all("all => all.map((each) => each.outerHTML)")
        assert found == [], address


@pytest.mark.flow
def test_a_client_and_a_mailing_are_written_and_launched_by_keyboard(
    site: Site, new_page: Callable[..., Page]
) -> None:
    page = new_page(site.url)
    log_in(page, "oleg")
    page.goto("/admin/clients/client/add/")
    tab_to(page.locator("#id_phone_number"))
    page.keyboard.type("+7 936 000-00-01")
    tab_to(page.locator("#id_tag"))
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/clients/client/")

    page.goto("/admin/mailings/mailing/add/")
    tab_to(page.locator("#id_text"))
    page.keyboard.type("Written without a mouse")
    tab_to(page.locator("#id_tag + .select2 .select2-search__field"))
    page.keyboard.type("keys")
    expect(page.get_by_role("option").first).to_contain_text("keys · 1")
    page.keyboard.press("Enter")
    expect(page.locator("#matching")).to_contain_text("1 client")
    tab_to(page.get_by_label("Only from"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/")
    tab_to(page.locator("#id_phone_number"))
    page.keyboard.type("+7 936 000-00-02")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The sender took the test message.")).to_be_visible()
    launch = page.get_by_role("button", name="Send to 1 client now")
    tab_to(launch)  # It is still there: Enter has launched nothing.
    page.keyboard.press("Space")
    page.wait_for_url("**/change/")
    expect(page.locator("#panel")).to_contain_text("Complete", timeout=WAIT)


def tab_to(target: Locator) -> None:
    """Go through the page with the Tab key until something has the focus."""
    for _ in range(TABS):
        if target.evaluate("(each) => each === document.activeElement"):
            return
        target.page.keyboard.press("Tab")
    raise AssertionError(f"Nobody comes to {target} by the Tab key.")
