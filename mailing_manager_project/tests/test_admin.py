from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from knox.models import AuthToken
from unfold.admin import ModelAdmin

from messages_app.models import SendingControl
from tests.console import confirm
from toolkit.history.models import Entry
from webhooks.models import Delivery

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
    is_added = model not in (SendingControl, Entry, Delivery, AccessAttempt)
    for page in ("changelist", "add") if is_added else ("changelist",):
        assert admin_client.get(address(model, page), follow=True).status_code == 200


def token_form(user: User, **fields: object) -> dict[str, object]:
    return {
        "user": user.pk,
        "name": "CRM",
        "scope": "read",
        "expiry_0": "2030-01-31",
        "expiry_1": "12:00:00",
        **fields,
    }


def shown_secret(page: str) -> str:
    return page.split('id="secret"')[1].split(">")[1].split("<")[0]


def test_a_token_is_shown_once_and_then_lets_a_machine_in(
    admin_client: Browser, admin_user: User
) -> None:
    made = admin_client.post(address(AuthToken, "add"), token_form(admin_user))
    token = shown_secret(made.content.decode())
    machine = Browser(headers={"authorization": f"Bearer {token}"})
    assert machine.get("/api/v1/clients/").status_code == 200
    assert "no-store" in made["Cache-Control"]
    assert "Location" not in made
    assert "messages" not in made.cookies
    assert all(token not in morsel.value for morsel in admin_client.cookies.values())
    kept = AuthToken.objects.get()
    again = admin_client.get(address(AuthToken, "changelist")).content.decode()
    assert kept.token_key in again
    assert token not in again


def test_the_hash_of_a_token_is_on_no_page(admin_client: Browser, admin_user: User) -> None:
    made = admin_client.post(address(AuthToken, "add"), token_form(admin_user))
    token = AuthToken.objects.get()
    pages = [
        made,
        admin_client.get(address(AuthToken, "changelist"), {"q": "CRM"}),
        admin_client.get(address(AuthToken, "history", token.token_key)),
        admin_client.get(address(AuthToken, "change", token.token_key), follow=True),
        admin_client.get(address(AuthToken, "delete", token.token_key)),
        admin_client.get(address(User, "change", admin_user.pk)),
        admin_client.get(address(Entry, "changelist")),
        confirm(admin_client, address(AuthToken, "delete", token.token_key)),
    ]

    for page in pages:
        assert page.status_code == 200
        assert token.digest[:12] not in page.content.decode()
    assert token.digest[:12] not in str(token)
    assert not AuthToken.objects.exists()


def test_revoking_a_token_asks_with_its_name(admin_client: Browser, admin_user: User) -> None:
    admin_client.post(address(AuthToken, "add"), token_form(admin_user))
    token = AuthToken.objects.get()
    question = address(AuthToken, "delete", token.token_key)

    assert "Revoke CRM?" in admin_client.get(question).content.decode()
    assert AuthToken.objects.exists()
    assert "CRM is revoked." in confirm(admin_client, question).content.decode()
    assert not AuthToken.objects.exists()
    assert admin_client.post(question).status_code == 404


def test_who_may_only_look_at_tokens_revokes_none(client: Browser, admin_user: User) -> None:
    token = AuthToken.objects.create(admin_user)[0]
    somebody = User.objects.create_user("somebody", is_staff=True)
    somebody.user_permissions.add(Permission.objects.get(codename="view_authtoken"))
    client.force_login(somebody)

    page = client.get(address(AuthToken, "changelist")).content.decode()
    assert token.token_key in page
    assert "Revoke" not in page
    assert client.post(address(AuthToken, "delete", token.token_key)).status_code == 403
    assert AuthToken.objects.exists()


def test_the_list_of_tokens_tells_what_each_is_for(admin_client: Browser, admin_user: User) -> None:
    admin_client.post(address(AuthToken, "add"), token_form(admin_user))
    before_scopes = AuthToken.objects.create(admin_user, expiry=None)[0]
    rows = admin_client.get(address(AuthToken, "changelist")).context["cl"].result_list
    shown = {row.pk: row for row in rows}
    (made,) = (row for pk, row in shown.items() if pk != before_scopes.pk)
    model_admin: Any = admin.site._registry[AuthToken]
    assert "CRM" in model_admin.name(made)
    assert model_admin.scope(made) == "only looks"
    assert model_admin.last_use(made) == "never"
    assert f"{made.expiry:%Y-%m-%d %H:%M}" == "2030-01-31 12:00"
    assert model_admin.scope(shown[before_scopes.pk]) == "looks and acts"
    assert model_admin.valid_until(shown[before_scopes.pk]) == "for ever"


@pytest.mark.parametrize(
    "fields",
    [{"expiry_0": "2020-01-31"}, {"expiry_0": "2099-01-01"}, {"expiry_0": "", "expiry_1": ""}],
)
def test_a_token_ends_within_ten_years(
    fields: dict[str, str], admin_client: Browser, admin_user: User
) -> None:
    page = admin_client.post(address(AuthToken, "add"), token_form(admin_user, **fields))

    assert "10 years from now at the latest" in page.content.decode()
    assert not AuthToken.objects.exists()


def test_a_year_is_proposed_for_a_token(admin_client: Browser) -> None:
    form = admin_client.get(address(AuthToken, "add")).context["adminform"].form

    in_days = (form.initial["expiry"] - timezone.now()).days
    assert in_days in (364, 365)


@pytest.mark.parametrize(
    ("rights", "shown"),
    [
        ([], []),
        (["view_mailing"], ["Mailings"]),
        (["view_client", "view_message"], ["Clients", "Messages"]),
        (["view_sendingcontrol"], ["Sender"]),
        (["view_user", "view_entry"], ["Users", "Failed logins", "History"]),
        (["view_periodictask", "view_authtoken"], ["API tokens", "Schedule", "REST API"]),
        (["view_webhook"], []),
        (["add_webhook"], ["Webhooks", "REST API"]),
    ],
)
def test_the_sidebar_shows_the_rooms_that_somebody_may_enter(
    rights: list[str], shown: list[str], client: Browser, django_user_model: type[User]
) -> None:
    user = django_user_model.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client.force_login(user)
    groups = client.get("/admin/").context["sidebar_navigation"]
    assert [item["title"] for group in groups for item in group["items"]] == shown
    assert all(group["items"] for group in groups)


def test_the_login_page_names_the_product_and_loads_nothing_from_elsewhere(
    client: Browser,
) -> None:
    page = client.get("/admin/login/").content.decode()
    assert "Mailing Manager" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
