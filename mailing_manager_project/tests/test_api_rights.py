"""Who may do what over REST: every address, every method, every kind of caller, in one table.

The addresses are those of the URL configuration: one that the table does not have fails the test.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.urls import URLPattern, URLResolver, get_resolver
from knox.models import AuthToken
from rest_framework.test import APIClient

from clients.models import ClientImport
from mailings.statements import making
from messages_app.models import Message
from tests.rest import JsonClient, refusal
from toolkit.access.models import Scope
from toolkit.access.tokens import create_token
from webhooks.models import Delivery, Webhook

METHODS = ("get", "head", "options", "post", "put", "patch", "delete", "trace")
OPEN = {"/schema/", "/docs/"}
# What each deed needs; "login" is a login and nothing more.
CLIENTS = {"get": "clients.view_client"}
IMPORTS = {"get": "clients.view_clientimport"}
MAILINGS = {"get": "mailings.view_mailing"}
MESSAGES = {"get": "messages_app.view_message"}
LAUNCH = "mailings.launch_mailing"
CONFIRM = "messages_app.view_message messages_app.confirm_message"
CHANGE_MAILING = {"post": "mailings.change_mailing"}
RELAUNCH = {"post": f"mailings.change_mailing {LAUNCH}"}
RESULTS = {"get": "mailings.view_mailing messages_app.view_message"}
WEBHOOKS = {"get": "webhooks.view_webhook"}
CHANGE_WEBHOOK = {"post": "webhooks.change_webhook"}
SENDER = "messages_app.change_sendingcontrol"


def one(app: str, model: str) -> dict[str, str]:
    """Return what the deeds on one row need."""
    return {
        "get": f"{app}.view_{model}",
        "put": f"{app}.change_{model}",
        "patch": f"{app}.change_{model}",
        "delete": f"{app}.delete_{model}",
    }


TABLE: dict[str, dict[str, str]] = {
    "/clients/": {**CLIENTS, "post": "clients.add_client"},
    "/clients/stats/": CLIENTS,
    "/clients/bulk/": {"post": "clients.add_client clients.change_client"},
    "/clients/export.csv": CLIENTS,
    "/clients/export.ndjson": CLIENTS,
    "/clients/count/": CLIENTS,
    "/clients/<pk>/": one("clients", "client"),
    "/imports/": {**IMPORTS, "post": "clients.add_clientimport clients.add_client"},
    "/imports/<pk>/": IMPORTS,
    "/imports/<pk>/rejected.csv": IMPORTS,
    "/clients/<pk>/export/": {"get": "clients.view_client messages_app.view_message"},
    "/clients/<pk>/erase/": {"post": "clients.erase_client"},
    "/mailings/": {**MAILINGS, "post": f"mailings.add_mailing {LAUNCH}"},
    "/mailings/stats/": MAILINGS,
    "/mailings/count/": MAILINGS,
    "/mailings/preview/": {"post": "mailings.add_mailing"},
    "/mailings/timeline/": MAILINGS,
    "/mailings/<pk>/": one("mailings", "mailing"),
    "/mailings/<pk>/stats/": MAILINGS,
    "/mailings/<pk>/texts/": MAILINGS,
    "/mailings/<pk>/timeline/": MAILINGS,
    "/mailings/<pk>/failures/": MAILINGS,
    "/mailings/<pk>/clients/<client_id>/": {
        "get": "mailings.view_mailing messages_app.view_message clients.view_client"
    },
    "/mailings/<pk>/statement/": MAILINGS,
    "/mailings/<pk>/statement/<message_id>/": RESULTS,
    "/mailings/<pk>/results.csv": RESULTS,
    "/mailings/<pk>/results.ndjson": RESULTS,
    "/mailings/<pk>/pause/": CHANGE_MAILING,
    "/mailings/<pk>/cancel/": CHANGE_MAILING,
    "/mailings/<pk>/finish/": CHANGE_MAILING,
    "/mailings/<pk>/launch/": RELAUNCH,
    "/mailings/<pk>/undo/": RELAUNCH,
    "/mailings/<pk>/approve/": RELAUNCH,
    "/mailings/<pk>/resume/": RELAUNCH,
    "/mailings/<pk>/test/": {"post": f"mailings.view_mailing {LAUNCH}"},
    "/mailings/<pk>/resend/": RELAUNCH,
    "/mailings/<pk>/confirm/": {"post": f"mailings.view_mailing {CONFIRM}"},
    "/messages/": {**MESSAGES, "post": "messages_app.add_message"},
    "/messages/stats/": MESSAGES,
    "/messages/count/": MESSAGES,
    "/messages/changes/": MESSAGES,
    "/messages/<pk>/": one("messages_app", "message"),
    "/messages/<pk>/attempts/": MESSAGES,
    "/messages/<pk>/resend/": {"post": "messages_app.view_message messages_app.resend_message"},
    "/messages/<pk>/confirm/": {"post": CONFIRM},
    "/webhooks/": {**WEBHOOKS, "post": "webhooks.add_webhook"},
    "/webhooks/<pk>/": one("webhooks", "webhook"),
    "/webhooks/<pk>/deliveries/": WEBHOOKS,
    "/webhooks/<pk>/rotate/": CHANGE_WEBHOOK,
    "/webhooks/<pk>/test/": CHANGE_WEBHOOK,
    "/webhooks/<pk>/deliveries/<delivery>/redeliver/": CHANGE_WEBHOOK,
    "/sender/": {"get": "messages_app.view_sendingcontrol", "patch": SENDER},
    "/sender/probe/": {"post": SENDER},
    "/history/": {"get": "history.view_entry"},
}
DEEDS = [(path, method) for path, deeds in TABLE.items() for method in deeds]


def api_addresses() -> Iterator[str]:
    """Yield every address of the API as the URL configuration has it."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for each in patterns:
            path = prefix + str(each.pattern)
            if isinstance(each, URLResolver):
                yield from walk(each.url_patterns, path)
            elif isinstance(each, URLPattern) and path.startswith("api/v1/"):
                yield "/" + path.removeprefix("api/v1/").replace("<int:", "<")

    yield from walk(get_resolver().url_patterns, "")


def test_every_address_of_the_api_is_in_the_table() -> None:
    assert set(api_addresses()) == set(TABLE) | OPEN


@pytest.fixture
def ids(db: None, make_message: Callable[..., Message]) -> dict[str, int]:
    """Return ids of rows that exist, by room."""
    message = make_message()
    webhook = Webhook.objects.create(url="https://example.com/", events=["sender.held"])
    (delivery,) = Delivery.objects.make("sender.held", [webhook], at=webhook.created_at)
    signed: dict[str, Any] = {"begun_at": webhook.created_at, "signed_at": webhook.created_at}
    statement = message.mailing.statements.create(number=1, document="{}", **signed)
    making._take_in(statement, making._next_rows(statement))
    return {
        "clients": message.client_id or 0,
        "imports": ClientImport.objects.create().pk,
        "mailings": message.mailing_id,
        "messages": message.pk,
        "webhooks": webhook.pk,
        "delivery": delivery.pk,
    }


def ask(api: APIClient, path: str, method: str, ids: dict[str, int]) -> Any:
    room = path.split("/")[1]
    address = "/api/v1" + path.replace("<pk>", str(ids.get(room)))
    address = address.replace("<delivery>", str(ids["delivery"]))
    address = address.replace("<message_id>", str(ids["messages"]))
    answer = getattr(api, method)(address.replace("<client_id>", str(ids["clients"])))
    if answer.streaming:
        b"".join(answer.streaming_content)  # which ends it
    return answer


def holder(*permissions: str) -> APIClient:
    """Return a client whose user has these permissions and no other."""
    user = User.objects.create(username="holder")
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    api = JsonClient()
    api.force_authenticate(user)
    return api


def is_let_in(status: int) -> bool:
    """Tell whether it was for no reason of rights that something was refused, if it was."""
    return status not in {401, 403, 404, 405} and status < 500


@pytest.mark.parametrize(("path", "method"), DEEDS)
def test_a_deed_needs_its_permissions_and_no_other(
    path: str, method: str, ids: dict[str, int]
) -> None:
    assert is_let_in(ask(holder(*TABLE[path][method].split()), path, method, ids).status_code)


@pytest.mark.parametrize(
    ("path", "method", "lacking"),
    [(path, method, each) for path, method in DEEDS for each in TABLE[path][method].split()],
)
def test_who_lacks_one_permission_is_refused_with_its_name(
    path: str, method: str, lacking: str, ids: dict[str, int]
) -> None:
    app, codename = lacking.split(".")
    others = Permission.objects.exclude(content_type__app_label=app, codename=codename)
    if codename.startswith("view_"):  # Whoever may change may see, as in the console.
        others = others.exclude(codename=codename.replace("view_", "change_"))
    user = User.objects.create(username="other")
    user.user_permissions.set(others)
    api = JsonClient()
    api.force_authenticate(user)

    answer = ask(api, path, method, ids)

    assert refusal(answer) == (403, {None: "permission_denied"})
    assert f"({lacking})" in answer.json()["errors"][0]["detail"]


def test_a_missing_permission_is_told_in_words(db: None) -> None:
    answer = holder("mailings.add_mailing").post("/api/v1/mailings/", {})

    assert answer.json()["errors"][0]["detail"] == (
        "You may not do this. It needs the permission “Can launch mailing, or send its messages "
        "again” (mailings.launch_mailing). An administrator can give that to you, or put you into "
        "a group that has it."
    )


@pytest.mark.parametrize("path", TABLE)
def test_nobody_and_somebody_without_rights_do_nothing_at_all(
    path: str, ids: dict[str, int]
) -> None:
    for method in METHODS:
        # What there is not is 405 for whoever is logged in; what is for all to see is only that.
        exists = {"head": "get" in TABLE[path], "options": True}.get(method, method in TABLE[path])

        assert ask(JsonClient(), path, method, ids).status_code == 401, method
        User.objects.filter(username="holder").delete()
        assert ask(holder(), path, method, ids).status_code == (403 if exists else 405), method


@pytest.mark.parametrize("path", TABLE)
def test_who_may_see_may_also_ask_what_can_be_done(path: str, ids: dict[str, int]) -> None:
    app, model = {
        "clients": ("clients", "client"),
        "imports": ("clients", "clientimport"),
        "mailings": ("mailings", "mailing"),
        "messages": ("messages_app", "message"),
        "webhooks": ("webhooks", "webhook"),
        "sender": ("messages_app", "sendingcontrol"),
        "history": ("history", "entry"),
    }[path.split("/")[1]]

    assert ask(holder(f"{app}.view_{model}"), path, "options", ids).status_code == 200


# What the groups may not do, of all that there is.
FORBIDDEN = {
    "viewers": {("/history/", "get"), *(deed for deed in DEEDS if deed[1] != "get")},
    "operators": {
        ("/history/", "get"),
        ("/clients/<pk>/erase/", "post"),
        ("/mailings/<pk>/", "delete"),
        *(deed for deed in DEEDS if deed[0].startswith("/webhooks/") and deed[1] != "get"),
    },
    "administrators": set(),
}


@pytest.mark.parametrize("group", FORBIDDEN)
@pytest.mark.parametrize("path", TABLE)
def test_groups_do_what_is_theirs(path: str, group: str, ids: dict[str, int]) -> None:
    api = holder()
    User.objects.get(username="holder").groups.add(Group.objects.get(name=group))
    for method in sorted(TABLE[path], key=lambda name: name == "delete"):
        may = (path, method) not in FORBIDDEN[group]

        status = ask(api, path, method, ids).status_code

        assert is_let_in(status) if may else status == 403, (method, status)


@pytest.mark.parametrize("path", TABLE)
def test_a_read_token_sees_what_its_user_sees_and_does_nothing(
    path: str, ids: dict[str, int]
) -> None:
    """Its user may do everything."""
    token = create_token(User.objects.create_superuser("admin"), scope=Scope.READ)
    api = JsonClient(headers={"authorization": f"Bearer {token}"})
    for method in METHODS:
        answer = ask(api, path, method, ids)

        known = {"head": TABLE[path].get("get"), "options": "a.view_b"}.get(method)
        needed = TABLE[path].get(method, known)
        if needed is None:
            assert answer.status_code == 405, method
        elif all(".view_" in permission for permission in needed.split()):
            assert answer.status_code == 200, method
        else:
            assert refusal(answer) == (403, {None: "permission_denied"}), method
            assert "This token has the scope read" in answer.json()["errors"][0]["detail"]
            assert 'error="insufficient_scope"' in answer["WWW-Authenticate"]


@pytest.mark.parametrize(("path", "method"), DEEDS)
def test_an_operate_token_and_one_of_before_there_were_scopes_do_what_their_user_may(
    path: str, method: str, ids: dict[str, int]
) -> None:
    admin = User.objects.create_superuser("admin")
    for token in (create_token(admin), AuthToken.objects.create(admin, expiry=None)[1]):
        api = JsonClient(headers={"authorization": f"Token {token}"})

        status = ask(api, path, method, ids).status_code
        is_gone = status == 404 and (method == "delete" or path.endswith("/erase/"))
        assert is_let_in(status) or is_gone  # by the first one's deed


def test_no_token_does_more_than_its_user(db: None) -> None:
    token = create_token(User.objects.create_user("nobody"), scope=Scope.OPERATE)
    answer = JsonClient(headers={"authorization": f"Bearer {token}"}).get("/api/v1/clients/")

    assert answer.status_code == 403
    assert "(clients.view_client)" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("path", TABLE)
def test_an_expired_token_is_none(path: str, ids: dict[str, int]) -> None:
    admin = User.objects.create_superuser("admin")
    for method in METHODS:
        token = AuthToken.objects.create(admin, expiry=timedelta(seconds=-1))[1]
        api = JsonClient(headers={"authorization": f"Token {token}"})

        assert ask(api, path, method, ids).status_code == 401, method


def test_sending_again_as_a_new_mailing_is_to_add_one(
    db: None, make_mailing: Callable[..., Any]
) -> None:
    mailing = make_mailing(status="cancelled")
    api = holder("mailings.change_mailing", LAUNCH)

    answer = api.post(f"/api/v1/mailings/{mailing.pk}/resend/", {})

    assert answer.status_code == 403
    assert "(mailings.add_mailing)" in answer.json()["errors"][0]["detail"]


def test_whoever_may_change_may_see_as_in_the_console(db: None) -> None:
    assert holder("clients.change_client").get("/api/v1/clients/").status_code == 200
