from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client as Browser
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from unfold.admin import ModelAdmin

from messages_app.models import SendingControl
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def task() -> PeriodicTask:
    # Not the one that migrations seed, because a flow test that ran before may have emptied all.
    minute, _ = IntervalSchedule.objects.get_or_create(every=60, period="seconds")
    return PeriodicTask.objects.create(name="tick", task="start_mailing", interval=minute)


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", MODELS)
def test_no_list_takes_nonsense_in_its_address_for_the_server_s_fault(
    model: type[Model], admin_client: Browser
) -> None:
    for query in ("pk=%00", "pk=99999999999999999999999", "x__y=1"):
        response = admin_client.get(f"{address(model, 'changelist')}?{query}", follow=True)
        assert response.status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_every_room_wears_the_same_clothes(model: type[Model], admin_client: Browser) -> None:
    assert isinstance(admin.site._registry[model], ModelAdmin)
    is_added = model not in (SendingControl, Entry)
    for page in ("changelist", "add") if is_added else ("changelist",):
        assert admin_client.get(address(model, page), follow=True).status_code == 200


def test_the_schedule_can_be_edited(admin_client: Browser, task: PeriodicTask) -> None:
    page = admin_client.get(address(PeriodicTask, "change", task.pk))
    assert '<option value="send_message">' in page.content.decode()
    form = page.context["adminform"].form
    sent = {name: value for name, value in form.initial.items() if value is not None}
    interval = IntervalSchedule.objects.create(every=30, period="seconds")
    saved = admin_client.post(
        address(PeriodicTask, "change", task.pk), {**sent, "interval": interval.pk}
    )
    assert saved.status_code == 302
    task.refresh_from_db()
    assert task.interval == interval


def test_a_schedule_shows_the_tasks_that_use_it(admin_client: Browser, task: PeriodicTask) -> None:
    page = admin_client.get(address(IntervalSchedule, "change", task.interval.pk))
    assert "tick" in page.content.decode()


def test_a_token_is_shown_once_and_then_lets_a_machine_in(
    admin_client: Browser, admin_user: User
) -> None:
    made = admin_client.post(address(AuthToken, "add"), {"user": admin_user.pk}, follow=True)
    page = made.content.decode()
    token = page.split("Token of admin: ")[1].split(" ")[0]
    user, _ = TokenAuthentication().authenticate_credentials(token.encode())
    assert user == admin_user
    kept = AuthToken.objects.get()
    again = admin_client.get(address(AuthToken, "change", kept.pk)).content.decode()
    assert kept.token_key in again
    assert token not in again


def test_a_user_is_added_and_given_another_password(admin_client: Browser) -> None:
    new = {"username": "maria", "password1": "Long-enough-1", "password2": "Long-enough-1"}
    admin_client.post(address(User, "add"), {**new, "usable_password": "true"})
    user = User.objects.get(username="maria")
    assert user.check_password("Long-enough-1")
    assert admin_client.get(address(User, "change", user.pk)).status_code == 200
    form = f"/admin/auth/user/{user.pk}/password/"
    assert admin_client.get(form).status_code == 200


@pytest.mark.parametrize(
    ("rights", "shown"),
    [
        ([], []),
        (["view_mailing"], ["Mailings"]),
        (["view_client", "view_message"], ["Clients", "Messages"]),
        (["view_sendingcontrol"], ["Sender"]),
        (["view_periodictask", "view_authtoken"], ["Schedule", "API tokens"]),
    ],
)
def test_the_sidebar_shows_the_rooms_that_somebody_may_enter(
    rights: list[str], shown: list[str], client: Browser, django_user_model: type[User]
) -> None:
    user = django_user_model.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client.force_login(user)
    groups = client.get("/admin/").context["sidebar_navigation"]
    assert [item["title"] for group in groups for item in group["items"]] == [*shown, "REST API"]


def test_the_login_page_names_the_product_and_loads_nothing_from_elsewhere(
    client: Browser,
) -> None:
    page = client.get("/admin/login/").content.decode()
    assert "Mailing Manager" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
