"""Failed logins in the console: who is locked out, and the way back in."""

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from mailings.tasks import finish_mailing
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

LIST = reverse("admin:axes_accessattempt_changelist")
LIMIT = settings.AXES_FAILURE_LIMIT


@pytest.fixture
def browser(client: Browser) -> Browser:
    client.force_login(User.objects.create_superuser("root"))
    User.objects.create_user("maria")
    return client


def failed(number: int = LIMIT, **fields: Any) -> AccessAttempt:
    values = {"username": "maria", "ip_address": "10.0.0.7", "user_agent": "a", **fields}
    return AccessAttempt.objects.create(failures_since_start=number, **values)


def shown(browser: Browser) -> str:
    answer = browser.get(LIST)
    assert answer.status_code == 200
    return answer.content.decode()


def unlock(browser: Browser, attempt: AccessAttempt) -> int:
    address = reverse("admin:axes_accessattempt_unlock", args=[attempt.pk])
    return browser.post(address).status_code


def test_who_is_locked_out_is_shown(browser: Browser) -> None:
    failed(LIMIT - 1)
    assert "may try again" in shown(browser)

    failed(1, user_agent="b")
    assert "locked out" in shown(browser)
    assert "maria" in shown(browser)


def test_a_name_that_nobody_has_is_not_shown(browser: Browser) -> None:
    failed(username="hunter2-by-mistake")

    assert "hunter2" not in shown(browser)
    assert "an unknown name" in shown(browser)


def test_what_does_not_count_any_more_is_not_shown(browser: Browser) -> None:
    old = failed()
    before = timezone.now() - settings.AXES_COOLOFF_TIME - timedelta(minutes=1)
    AccessAttempt.objects.filter(pk=old.pk).update(attempt_time=before)

    assert "maria" not in shown(browser)


def test_the_tick_drops_it_and_sessions_that_have_ended(browser: Browser) -> None:
    now = timezone.now()
    old, new = failed(), failed(username="olga")
    before = now - settings.AXES_COOLOFF_TIME - timedelta(minutes=1)
    AccessAttempt.objects.filter(pk=old.pk).update(attempt_time=before)
    Session.objects.create(session_key="old", expire_date=now - timedelta(minutes=1))

    finish_mailing()

    assert AccessAttempt.objects.get() == new
    assert Session.objects.get().expire_date > now


def test_somebody_is_let_in_again_and_others_are_not(browser: Browser) -> None:
    mine = failed()
    failed(3, user_agent="b")
    other = failed(username="olga", ip_address="10.0.0.9")

    assert unlock(browser, mine) == 302

    assert AccessAttempt.objects.get() == other
    entry = Entry.objects.latest("pk")
    assert entry.text == "maria"
    assert entry.changes == {"locked_out": [True, False]}


def test_of_an_unknown_name_history_tells_nothing(browser: Browser) -> None:
    unlock(browser, failed(username="hunter2-by-mistake"))

    assert "hunter2" not in str(list(Entry.objects.values()))


def test_only_who_may_change_users_lets_in(client: Browser) -> None:
    somebody = User.objects.create_user("somebody", is_staff=True)
    client.force_login(somebody)
    attempt = failed()
    assert client.get(LIST).status_code == 403

    somebody.user_permissions.add(Permission.objects.get(codename="view_user"))

    assert "Let in" not in shown(client).replace("Letting somebody in", "")
    assert unlock(client, attempt) == 403
    assert AccessAttempt.objects.exists()


class TestAFormAfterTheLoginHasEnded:
    def test_leads_back_to_the_page_it_was_on(self, client: Browser) -> None:
        page = "http://testserver/admin/mailings/mailing/5/change/?tab=2"

        answer = client.post("/admin/mailings/mailing/5/pause/", headers={"referer": page})

        assert answer.status_code == 302
        assert answer["Location"] == (
            "/admin/login/?next=/admin/mailings/mailing/5/change/%3Ftab%3D2"
        )
        assert "was not done" in client.get(answer["Location"]).content.decode()

    def test_and_to_no_page_of_others(self, client: Browser) -> None:
        answer = client.post("/admin/auth/user/add/", headers={"referer": "https://evil.example/x"})

        assert answer["Location"] == "/admin/login/?next=/admin/"


def test_who_logs_out_is_told_so(browser: Browser) -> None:
    page = browser.post(reverse("admin:logout")).content.decode()

    assert "You are logged out" in page
    assert "Mailing Manager" in page
