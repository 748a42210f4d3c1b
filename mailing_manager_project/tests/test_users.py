"""Users and groups in the console: roles in plain words, first passwords, nobody deleted."""

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client as Browser
from django.urls import reverse
from knox.models import AuthToken
from pytest_django import Settings

from mailing_manager_project.admin.users import role_of
from mailing_manager_project.permission_words import SENTENCES
from mailing_manager_project.roles import GROUPS
from toolkit.access.company import connect
from toolkit.access.models import FirstPassword

pytestmark = pytest.mark.django_db

LIST = reverse("admin:auth_user_changelist")
ADD = reverse("admin:auth_user_add")
NEW = {"username": "olga", "kind": "person", "role": "operators"}


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def browser(client: Browser, root: User) -> Browser:
    client.force_login(root)
    return client


def change(user: User) -> str:
    return reverse("admin:auth_user_change", args=[user.pk])


def form_of(user: User, **fields: object) -> dict[str, object]:
    staff = {"is_staff": "on"} if user.is_staff else {}
    return {"username": user.username, "is_active": "on", "role": role_of(user), **staff, **fields}


def shown(answer: Any) -> str:
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def password_in(answer: Any) -> str:
    return shown(answer).split('id="secret"')[1].split(">")[1].split("<")[0]


def test_a_person_who_is_added_gets_in_with_a_password_that_has_to_be_changed(
    browser: Browser,
) -> None:
    answer = browser.post(ADD, NEW)
    password = password_in(answer)

    assert "no-store" in answer["Cache-Control"]
    olga = User.objects.get(username="olga")
    assert (olga.is_staff, olga.is_superuser, role_of(olga)) == (True, False, "operators")
    session = Browser()
    form = {"username": "olga", "password": password}
    came = session.post("/admin/login/", form, headers={"x-forwarded-for": "10.0.0.1"})
    assert came.status_code == 302
    page = session.get("/admin/")
    assert (page.status_code, page["Location"]) == (302, reverse("admin:password_change"))


def test_a_program_has_no_password_and_is_given_a_token_next(browser: Browser) -> None:
    answer = browser.post(ADD, {**NEW, "kind": "program", "role": "viewers"})

    program = User.objects.get(username="olga")
    assert not program.has_usable_password()
    assert not program.is_staff
    assert answer["Location"] == f"{reverse('admin:knox_authtoken_add')}?user={program.pk}"


def test_a_role_is_changed_and_other_groups_stay(browser: Browser) -> None:
    olga = User.objects.create_user("olga", is_staff=True)
    other = Group.objects.create(name="other")
    olga.groups.set([other, Group.objects.get(name="viewers")])

    browser.post(change(olga), form_of(olga, role="administrators", groups=[other.pk]))

    assert set(olga.groups.values_list("name", flat=True)) == {"other", "administrators"}


def test_who_has_a_company_account_has_their_role_from_it_and_no_password(
    browser: Browser, settings: Settings
) -> None:
    settings.OIDC_ISSUER = "https://login.example"
    olga = User.objects.create_user("olga", is_staff=True)
    olga.groups.add(Group.objects.get(name="viewers"))
    connect(olga, subject="1")

    page = shown(browser.get(change(olga)))
    browser.post(change(olga), form_of(olga, role="administrators"))

    assert "It comes from the company's account" in page
    assert "By the company's account. Last login: never." in page
    assert role_of(User.objects.get(username="olga")) == "viewers"
    again = reverse("admin:auth_user_password_change", args=[olga.pk])
    assert browser.post(again).status_code == 403


def test_permissions_that_are_not_shown_survive_a_save(browser: Browser) -> None:
    olga = User.objects.create_user("olga")
    hidden = Permission.objects.get(codename="view_heartbeat")
    given = Permission.objects.get(codename="view_mailing")
    olga.user_permissions.set([hidden])

    page = shown(browser.get(change(olga)))
    browser.post(change(olga), form_of(olga, user_permissions=[given.pk]))

    assert set(olga.user_permissions.all()) == {hidden, given}
    for word in ("heartbeat", "lease", "doorbell", "log entry", "Can view"):
        assert word not in page.lower()
    assert "Launch and resume mailings" in page


def test_single_permissions_are_for_superusers(client: Browser) -> None:
    boss = User.objects.create_user("boss", is_staff=True)
    boss.groups.set(Group.objects.filter(name="administrators"))
    olga = User.objects.create_user("olga")
    client.force_login(boss)

    page = shown(client.get(change(olga)))

    assert "Launch and resume mailings" not in page
    assert "Operator: does the daily work" in page
    client.post(change(olga), {**form_of(olga), "is_superuser": "on", "is_staff": "on"})
    olga.refresh_from_db()
    assert (olga.is_superuser, olga.is_staff) == (False, False)


def test_whoever_leaves_is_switched_off_and_nobody_is_deleted(browser: Browser, root: User) -> None:
    olga = User.objects.create_user("olga", is_staff=True)

    answer = browser.post(reverse("admin:auth_user_delete", args=[olga.pk]), {"post": "yes"})
    assert answer.status_code == 403
    form = form_of(olga)
    del form["is_active"]
    browser.post(change(olga), form)

    olga.refresh_from_db()
    assert not olga.is_active
    assert "switched off" in shown(browser.get(LIST))


def test_nobody_switches_themselves_off(browser: Browser, root: User) -> None:
    form = form_of(root)
    del form["is_active"]

    assert "Nobody switches off their own account" in shown(browser.post(change(root), form))

    root.refresh_from_db()
    assert (root.is_active, root.is_superuser) == (True, True)


def test_a_new_password_for_somebody_is_asked_about_and_shown_once(browser: Browser) -> None:
    olga = User.objects.create_user("olga", password="Long-enough-1", is_staff=True)
    AuthToken.objects.create(olga)
    address = reverse("admin:auth_user_password_change", args=[olga.pk])

    assert "A new password for olga?" in shown(browser.get(address))
    olga.refresh_from_db()
    assert olga.check_password("Long-enough-1")
    password = password_in(browser.post(address))

    olga.refresh_from_db()
    assert olga.check_password(password)
    assert FirstPassword.objects.filter(user=olga).exists()
    assert not AuthToken.objects.exists()
    assert password not in shown(browser.get(change(olga)))


def test_ones_own_password_is_changed_on_ones_own_page(browser: Browser, root: User) -> None:
    address = reverse("admin:auth_user_password_change", args=[root.pk])

    assert browser.post(address)["Location"] == reverse("admin:password_change")

    assert not FirstPassword.objects.exists()


def test_the_list_asks_as_much_for_many_users_as_for_few(
    browser: Browser, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        user = User.objects.create_user(f"user{number}", is_staff=True)
        user.groups.set(Group.objects.filter(name="viewers"))

    with django_assert_max_num_queries(14):
        page = shown(browser.get(LIST))

    assert page.count("Viewer") >= 20


def test_groups_say_what_their_members_may_do(client: Browser) -> None:
    boss = User.objects.create_user("boss", is_staff=True)
    boss.groups.set(Group.objects.filter(name="administrators"))
    client.force_login(boss)
    group = Group.objects.get(name="operators")
    address = reverse("admin:auth_group_change", args=[group.pk])

    assert "Operator (operators)" in shown(client.get(reverse("admin:auth_group_changelist")))
    assert "<li>Launch and resume mailings</li>" in shown(client.get(address))
    assert client.post(address, {"name": "operators"}).status_code == 403


def test_a_superuser_changes_what_a_role_may_do_and_not_its_name(browser: Browser) -> None:
    group = Group.objects.get(name="viewers")
    hidden = Permission.objects.get(codename="view_heartbeat")
    group.permissions.add(hidden)
    given = Permission.objects.get(codename="resend_message")
    address = reverse("admin:auth_group_change", args=[group.pk])

    browser.post(address, {"name": "other", "permissions": [given.pk]})

    group.refresh_from_db()
    assert (group.name, set(group.permissions.all())) == ("viewers", {hidden, given})
    delete = reverse("admin:auth_group_delete", args=[group.pk])
    assert browser.post(delete, {"post": "yes"}).status_code == 403


def test_everything_that_a_role_may_do_has_a_sentence() -> None:
    gone = {
        "delete_user",
        "add_group",
        "change_group",
        "delete_group",
    }  # what no page does any more
    held = {name for names in GROUPS.values() for name in names}
    needed = {name for name in held if name.split(".")[1] not in gone and "schedule" not in name}

    assert needed <= set(SENTENCES)
