"""Recipients in the console."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from django.utils import timezone
from pytest_django import Settings

from reports.models import Letter, Recipient
from toolkit.history.models import Entry

LIST = "/admin/reports/recipient/"
FORM = {
    "address": "Anna@Example.com",
    "language": "ru",
    "timezone": "Europe/Moscow",
    "is_daily": "on",
}


@pytest.fixture
def browser(client: Browser, db: None) -> Browser:
    client.force_login(User.objects.create_superuser("root"))
    return client


def text_of(browser: Browser) -> str:
    answer = browser.get(LIST)
    assert answer.status_code == 200
    return answer.content.decode()


def test_one_is_added_changed_and_deleted_and_that_is_history(browser: Browser) -> None:
    browser.post(f"{LIST}add/", FORM)
    anna = Recipient.objects.get()
    assert (anna.address, anna.language, anna.timezone) == (
        *("anna@example.com", "ru", "Europe/Moscow"),
    )
    browser.post(f"{LIST}{anna.pk}/change/", {**FORM, "language": "en"})
    anna.refresh_from_db()
    assert anna.language == "en"
    browser.post(f"{LIST}{anna.pk}/delete/", {"post": "yes"})
    assert not Recipient.objects.exists()

    entries = Entry.objects.of(f"recipients/{anna.pk}").order_by("pk")
    assert [entry.deed for entry in entries] == ["created", "changed", "deleted"]
    assert entries[1].changes == {"language": ["ru", "en"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "anna"},
        {"address": "OLGA@example.com"},  # who is there already
        {"timezone": "Mars/Olympus"},
        {"language": "tlh"},
    ],
)
def test_what_makes_no_sense_is_refused(browser: Browser, wrong: dict[str, str]) -> None:
    Recipient.objects.create(address="olga@example.com")
    answer = browser.post(f"{LIST}add/", {**FORM, **wrong})
    assert answer.status_code == 200
    assert Recipient.objects.count() == 1


def test_the_list_says_how_the_last_letter_fared(browser: Browser, settings: Settings) -> None:
    anna = Recipient.objects.create(address="anna@example.com")
    assert "no mail server (EMAIL_HOST)" in text_of(browser)
    settings.EMAIL_HOST = "mail.example.com"
    assert "none yet" in text_of(browser)
    now = timezone.now()
    values: dict[str, Any] = {"kind": "daily", "made_at": now, "next_attempt_at": now}
    letter = Letter.objects.create(address=anna.address, about="2030-01-30", **values)
    assert "on its way" in text_of(browser)
    letter.error = "Connection refused"
    letter.save()
    assert "Connection refused" in text_of(browser)
    letter.sent_at = now - timedelta(days=400)
    letter.save()
    assert f"{letter.sent_at:%Y-%m-%d %H:%M}" in text_of(browser)


@pytest.mark.parametrize(("right", "sees", "adds"), [("view", 200, 403), ("add", 403, 200)])
def test_it_needs_its_rights(client: Browser, db: None, right: str, sees: int, adds: int) -> None:
    user = User.objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename=f"{right}_recipient"))
    client.force_login(user)
    assert client.get(LIST).status_code == sees
    assert client.get(f"{LIST}add/").status_code == adds
