"""Every write in the console leaves history: the forms, buttons and actions of every page.

They are read from the console itself: a page, a button or an action that nobody thought about
fails here.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Model
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from knox.models import AuthToken

from clients.imports.uploads import keep_upload
from clients.models import ClientImport
from mailing_manager_project.tests.test_history_rest import FAILED, Stage
from messages_app.ledger import folding
from messages_app.models import SendingControl
from reports.models import Recipient
from tests.console import button_of, confirm
from toolkit.access.models import SecondFactor
from toolkit.history.models import Entry

PASSWORD = "a-long-and-new-password-1"
HOUR = timedelta(hours=1)
# The pages of a model, and of the site, that change nothing.
READS = {
    *("changelist", "history", "panel", "audience", "suggest", "review", "text"),
    *("rows", "overview", "troubles", "statement"),
    *("progress", "export", "changing"),
}
READS_OF_SITE = {
    *("index", "login", "logout", "jsi18n", "app_list", "autocomplete", "search"),
    *("view_on_site", "password_change_done"),
}


def mailing_form(stage: Stage, text: str) -> dict[str, str]:
    start, stop = stage.now + HOUR, stage.now + 2 * HOUR
    return {
        "text": text,
        "start_time": f"{start:%Y-%m-%dT%H:%M}",
        "stop_time": f"{stop:%Y-%m-%dT%H:%M}",
    }


def scheduled(stage: Stage) -> Any:
    return stage.mailing(status="scheduled", start_time=stage.now + HOUR / 2)


def user(**fields: Any) -> User:
    return User.objects.create(username="maria", **fields)


def user_with_factor(stage: Stage) -> User:
    owner = user()
    SecondFactor.objects.create(user=owner, secret="", last_step=0, made_at=stage.now)
    return owner


def user_form(**fields: str) -> dict[str, str]:
    return {"username": "maria", "is_active": "on", "role": "viewers", **fields}


def task(**fields: Any) -> PeriodicTask:
    minute, _ = IntervalSchedule.objects.get_or_create(every=60, period="seconds")
    values = {"name": "mine", "task": "start_mailing", "interval": minute, **fields}
    return PeriodicTask.objects.create(**values)


def task_form(**fields: Any) -> dict[str, Any]:
    rhythm = {"rhythm": "every", "every": "1", "period": "hours", "zone": "UTC"}
    return {"name": "mine", "task": "start_mailing", "kwargs": "{}", **rhythm, **fields}


def token_form(stage: Stage) -> dict[str, Any]:
    return {
        "user": user().pk,
        "name": "CRM",
        "scope": "read",
        "expiry_0": f"{stage.now + HOUR * 24:%Y-%m-%d}",
        "expiry_1": "12:00:00",
    }


def token(stage: Stage) -> AuthToken:
    made: AuthToken = AuthToken.objects.create(user())[0]
    return made


def opened(stage: Stage) -> SendingControl:
    SendingControl.objects.filter(pk=1).update(opened_at=stage.now)
    return SendingControl.objects.get()


def stopped(stage: Stage) -> SendingControl:
    SendingControl.objects.filter(pk=1).update(is_paused=True, pause_reason="Why not")
    return SendingControl.objects.get()


def failed_login(stage: Stage) -> AccessAttempt:
    return AccessAttempt.objects.create(
        username=user().username, ip_address="10.0.0.7", failures_since_start=10
    )


def delivery(stage: Stage) -> Any:
    return stage.delivered().deliveries.get()


def row_of(model: Any, **fields: Any) -> Callable[[Stage], Any]:
    return lambda stage: model.objects.create(**fields)


def file_of_clients() -> SimpleUploadedFile:
    return SimpleUploadedFile("people.csv", b"phone_number\n79991234567\n")


def change_of_all(stage: Stage) -> dict[str, str]:
    stage.clients(1)
    return {"what": "tag", "value_tag": "new", "number": "1"}


def kept(stage: Stage) -> ClientImport:
    return keep_upload(file_of_clients(), user=None)


Row = Callable[[Stage], Any]
Form = Callable[[Stage], dict[str, Any]]


def none(stage: Stage) -> None:
    return None


def crud(
    label: str, row: Row, new: Form, edited: Form, *, without: tuple[str, ...] = ()
) -> dict[Any, Any]:
    """Return the scenes of a model that can be added, changed and deleted."""
    scenes = {
        (label, "add"): (none, new),
        (label, "change"): (row, edited),
        (label, "delete"): (row, lambda s: {}),
        (label, "delete_selected"): (row, lambda s: {"post": "yes"}),
    }
    return {place: scene for place, scene in scenes.items() if place[1] not in without}


def on(label: str, row: Row, *names: str) -> dict[Any, Any]:
    """Return the scenes of buttons or actions that need no form."""
    return {(label, name): (row, lambda s: {}) for name in names}


def at_all(label: str, row: Row, *names: str) -> dict[Any, Any]:
    """Return the scenes of what is done to all rows that are found, of which this one is there."""

    def form(stage: Stage) -> dict[str, Any]:
        row(stage)
        folding.fold_all()
        return {}

    return {(label, name): (none, form) for name in names}


def running(stage: Stage) -> Any:
    return stage.mailing(last_run_time=stage.now)


def paused(stage: Stage) -> Any:
    return stage.mailing(status="paused")


def with_failed(stage: Stage) -> Any:
    return stage.message(**FAILED).mailing


def failed(stage: Stage) -> Any:
    return stage.message(**FAILED)


def pending(stage: Stage) -> Any:
    return stage.message()


# {(model, page or action): (what it is done to, the form that is sent)}
SCENES: dict[tuple[str, str], tuple[Row, Form]] = {
    **crud(
        "clients.Client", lambda s: s.clients(1)[0],
        lambda s: {"phone_number": "79995550001", "timezone": "UTC"},
        lambda s: {"phone_number": "79995550002", "timezone": "UTC"},
    ),
    **on("clients.Client", lambda s: s.clients(1)[0], "erase"),
    ("clients.Client", "change_all"): (none, lambda s: change_of_all(s)),
    ("clients.ClientImport", "add"): (none, lambda s: {"file": file_of_clients()}),
    ("clients.ClientImport", "start"): (kept, lambda s: {"column": ["phone_number"]}),
    **on("clients.ClientImport", kept, "drop"),
    **crud(
        "mailings.Mailing", scheduled,
        lambda s: mailing_form(s, "New"), lambda s: mailing_form(s, "Other"),
    ),
    **on("mailings.Mailing", Stage.draft, "launch", "approve"),
    **on("mailings.Mailing", Stage.launched, "undo"),
    ("mailings.Mailing", "test"): (Stage.draft, lambda s: {"phone_number": "79995550006"}),
    **on("mailings.Mailing", running, "pause", "pause_selected"),
    **on("mailings.Mailing", running, "cancel", "finish", "cancel_selected"),
    ("mailings.Mailing", "extend"): (running, lambda s: {"more": "hour"}),
    **on("mailings.Mailing", with_failed, "confirm"),
    **at_all("mailings.Mailing", running, "pause_all", "cancel_all"),
    **at_all("mailings.Mailing", paused, "resume_all"),
    **at_all("mailings.Mailing", with_failed, "resend_all", "confirm_all"),
    **on("mailings.Mailing", paused, "resume", "resume_selected"),
    **on("mailings.Mailing", with_failed, "resend"),
    ("messages_app.Message", "add"): (
        none, lambda s: {"mailing": s.mailing().pk, "client": s.clients(1)[0].pk}
    ),
    **on("messages_app.Message", pending, "delete", "delete_selected"),
    **on("messages_app.Message", failed, "resend", "confirm"),
    **on("messages_app.Message", failed, "send_selected_again", "confirm_selected"),
    **on("messages_app.SendingControl", opened, "probe", "stop"),
    **on("messages_app.SendingControl", stopped, "resume"),
    ("messages_app.SendingControl", "change"): (opened, lambda s: {"rate": "5"}),
    **crud(
        "auth.User", lambda s: user(),
        lambda s: {"username": "olga", "kind": "person", "role": "viewers"},
        lambda s: user_form(first_name="Maria"),
        without=("delete", "delete_selected"),
    ),
    ("auth.User", "password_change"): (lambda s: user(), lambda s: {}),
    **on("auth.User", user_with_factor, "remove_factor"),
    **crud(
        "auth.Group", row_of(Group, name="mine"),
        lambda s: {"name": "new"}, lambda s: {"name": "other"}, without=("delete_selected",),
    ),
    **on("axes.AccessAttempt", failed_login, "unlock"),
    ("knox.AuthToken", "add"): (none, lambda s: token_form(s)),
    **on("knox.AuthToken", token, "delete"),
    **crud(
        "webhooks.Webhook", Stage.webhook,
        lambda s: {"url": "https://93.184.215.14/", "events": ["sender.held"], "is_active": "on"},
        lambda s: {"url": "https://93.184.215.14/a", "events": ["sender.held"]},
    ),
    **crud(
        "reports.Recipient", row_of(Recipient, address="anna@example.com"),
        lambda s: {"address": "olga@example.com", "language": "en", "timezone": "UTC"},
        lambda s: {"address": "anna@example.com", "language": "ru", "timezone": "UTC"},
    ),
    **on("webhooks.Webhook", Stage.webhook, "test", "rotate"),
    **on("webhooks.Delivery", delivery, "redeliver", "redeliver_selected"),
    **crud(
        "django_celery_beat.PeriodicTask", lambda s: task(),
        lambda s: task_form(), lambda s: task_form(name="other"),
    ),
    **on("django_celery_beat.PeriodicTask", lambda s: task(), "disable_tasks", "run_tasks"),
    **on("django_celery_beat.PeriodicTask", lambda s: task(enabled=False), "enable_tasks"),
}  # fmt: skip


@pytest.fixture
def admin_user(db: None) -> User:
    # Without a password, because hashing one takes longer than a test.
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def stage(db: None, make_clients: Any, make_mailing: Any, make_message: Any, now: Any) -> Stage:
    return Stage(make_clients, make_mailing, make_message, now)


@pytest.fixture(autouse=True)
def _may_try_and_undo(settings: Any) -> None:
    """Have a test message go to the sender, which is not there, and launches be undone."""
    settings.MESSAGE_SENDER_TOKEN = "token"
    settings.MAILING_UNDO_SECONDS = 60


def console_writes(somebody: User) -> Iterator[tuple[str, str]]:
    """Yield every page and action of the console that may write, if anybody may use it."""
    request = RequestFactory().get("/")
    request.user = somebody
    for model, page in admin.site._registry.items():
        label, prefix = model._meta.label, f"{model._meta.app_label}_{model._meta.model_name}_"
        names = {str(each.name).removeprefix(prefix) for each in page.get_urls() if each.name}
        for verb in ("add", "change", "delete"):
            if not getattr(page, f"has_{verb}_permission")(request):
                names.discard(verb)
        yield from ((label, name) for name in names - READS)
        yield from ((label, name) for name in page.get_actions(request))


def test_every_write_of_the_console_has_its_scene(admin_user: User) -> None:
    assert set(console_writes(admin_user)) == set(SCENES)


def test_the_site_itself_writes_nothing_but_what_is_ones_own() -> None:
    names = {each.name for each in admin.site.get_urls() if hasattr(each, "name")}
    # test_preferences.py and test_second_factor.py have the scenes of the latter two.
    assert names - READS_OF_SITE - {None} == {*("password_change", "preferences", "second_factor")}


def press(browser: Browser, label: str, name: str, row: Model | None, form: Any) -> Any:
    """Send a form of the console, or press a button; or apply an action to one row.

    Where it is asked first, the button of that page is pressed.
    """
    address, sent = sent_by(label, name, row, form)
    answer = browser.post(address, sent)
    is_question = answer.context and "question" in answer.context
    return browser.post(address, button_of(answer)) if is_question else answer


def sent_by(label: str, name: str, row: Model | None, form: Any) -> tuple[str, Any]:
    """Return the address of a page or action, and the form that is sent to it."""
    model = next(each for each in admin.site._registry if each._meta.label == label)
    prefix = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="admin")
    if name in admin.site._registry[model].get_actions(request):
        assert row
        chosen = {"action": name, ACTION_CHECKBOX_NAME: row.pk, **form}
        return reverse(f"{prefix}_changelist"), chosen
    args: Any = [getattr(row, "token_key", row.pk)] if row else []
    if label == "messages_app.SendingControl" and name in ("probe", "resume", "stop"):
        args = []
    return reverse(f"{prefix}_{name}", args=args), form


@pytest.mark.parametrize(("label", "name"), sorted(SCENES))
def test_it_is_told_who_did_it_in_the_console(
    label: str, name: str, admin_client: Browser, stage: Stage, queued: Any
) -> None:
    set_row, set_form = SCENES[label, name]
    row, form = set_row(stage), set_form(stage)
    last = Entry.objects.first()

    answer = press(admin_client, label, name, row, form)

    form_shown = answer.context and answer.context.get("adminform")
    page = form_shown.form.errors if form_shown else ""
    # What is a secret is shown in the answer itself.
    assert answer.status_code == 302 or "no-store" in answer["Cache-Control"], page
    entries = Entry.objects.filter(pk__gt=last.pk if last else 0)
    assert {(each.door, each.username) for each in entries} == {("console", "admin")}
    assert not LogEntry.objects.exists()


def test_ones_own_password_leaves_history_too(admin_client: Browser, admin_user: User) -> None:
    admin_user.set_password("old")
    admin_user.save()
    admin_client.force_login(admin_user)
    form = {"old_password": "old", "new_password1": PASSWORD, "new_password2": PASSWORD}

    answer = admin_client.post("/admin/password_change/", form)

    assert answer.status_code == 302
    entry = Entry.objects.latest("pk")
    assert (entry.object, entry.username) == (f"users/{admin_user.pk}", "admin")
    assert entry.changes == {"password": ["(hidden)", "(hidden)"]}


def test_no_password_and_no_token_is_in_history(admin_client: Browser) -> None:
    somebody = user(password="pbkdf2_sha256$secret")
    again = reverse("admin:auth_user_password_change", args=[somebody.pk])
    password = admin_client.post(again).content.decode().split('id="secret"')[1].split(">")[1]
    made, secret = AuthToken.objects.create(somebody)
    digest = made.digest
    made.delete()
    somebody.delete()

    kept = str(list(Entry.objects.values()))

    for each in ("pbkdf2_sha256", password.split("<")[0], secret, digest):
        assert each not in kept
    assert made.token_key in kept


def test_what_rights_somebody_was_given_is_told(admin_client: Browser) -> None:
    somebody, group = user(), Group.objects.create(name="mine")

    somebody.groups.add(group)
    group.permissions.set(Permission.objects.filter(codename="view_client"))
    somebody.groups.clear()

    told = [(each.object, each.changes) for each in Entry.objects.order_by("-pk")[:3]]
    assert told[::-1] == [
        (f"users/{somebody.pk}", {"groups": [[], ["mine"]]}),
        (f"groups/{group.pk}", {"permissions": [[], ["clients.view_client"]]}),
        (f"users/{somebody.pk}", {"groups": [["mine"], []]}),
    ]


def test_giving_all_rights_takes_as_many_questions_as_giving_one(
    db: None, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    somebody, permissions = user(), Permission.objects.all()
    ContentType.objects.get_for_models(*apps.get_models())  # as in a process that works already

    with django_assert_max_num_queries(10):
        somebody.user_permissions.add(*permissions)


def test_a_login_is_none(db: None, client: Browser) -> None:
    somebody = user()
    last = Entry.objects.count()

    client.force_login(somebody)

    assert Entry.objects.count() == last


class TestPage:
    def test_shows_who_changed_what_from_what_to_what(
        self, admin_client: Browser, stage: Stage
    ) -> None:
        mailing = scheduled(stage)
        page = reverse("admin:mailings_mailing_change", args=[mailing.pk])
        admin_client.post(page, mailing_form(stage, "Good evening"))

        shown = admin_client.get(f"/admin/mailings/mailing/{mailing.pk}/history/").content.decode()

        assert "admin (Console)" in shown
        assert "text: Hello → Good evening" in shown

    def test_is_there_when_the_object_is_deleted(self, admin_client: Browser, stage: Stage) -> None:
        mailing = scheduled(stage)
        delete = reverse("admin:mailings_mailing_delete", args=[mailing.pk])
        confirm(admin_client, delete)

        shown = admin_client.get(f"/admin/mailings/mailing/{mailing.pk}/history/").content.decode()

        assert "Deleted" in shown
        assert admin_client.get("/admin/mailings/mailing/99999/history/").status_code == 404

    def test_shows_what_django_s_log_has_from_before(
        self, admin_client: Browser, admin_user: User, stage: Stage
    ) -> None:
        mailing = scheduled(stage)
        LogEntry.objects.log_actions(admin_user.pk, [mailing], 2, "Long ago", single_object=True)

        shown = admin_client.get(f"/admin/mailings/mailing/{mailing.pk}/history/").content.decode()

        assert "Long ago" in shown

    def test_is_for_those_who_may_see_the_object(self, client: Browser, stage: Stage) -> None:
        mailing, somebody = scheduled(stage), user(is_staff=True)
        client.force_login(somebody)
        address = f"/admin/mailings/mailing/{mailing.pk}/history/"
        assert client.get(address).status_code == 403
        somebody.user_permissions.add(Permission.objects.get(codename="view_mailing"))
        assert client.get(address).status_code == 200

    def test_of_all_history_is_filtered_and_written_by_nobody(
        self, admin_client: Browser, stage: Stage
    ) -> None:
        for each in (running(stage), running(stage)):
            admin_client.post(reverse("admin:mailings_mailing_pause", args=[each.pk]))
        address = reverse("admin:history_entry_changelist")
        today = f"{stage.now:%Y-%m-%d}"

        def found(query: str) -> int:
            return len(admin_client.get(f"{address}?{query}").context["entries"])

        everything = Entry.objects.count()
        assert found("") == everything
        assert found(f"object=mailings/{each.pk}") == 1
        assert found("deed=paused") == 2
        assert found(f"at_from={today}&at_to={today}") == everything
        assert found("at_from=2099-01-01") == found("at_to=2019-01-01") == 0
        assert found("user=ADMIN") == 2
        assert found("user=admin&kind=mailings&deed=paused&door=console") == 2
        assert found("user=admin&kind=clients") == found("user=nobody") == 0
        assert found("object=no+object&before=nonsense&at_from=soon") == 0
        entry = Entry.objects.latest("pk")
        for page in ("change", "delete"):
            one = reverse(f"admin:history_entry_{page}", args=[entry.pk])
            assert admin_client.post(one, {"post": "yes"}).status_code == 403
