"""The console asks for the same permissions as REST for the same deed."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser

from mailing_manager_project.tests.test_api_rights import TABLE
from messages_app.models import Message

# {the console's address: that of REST}
SAME = {
    "mailings/mailing/{mailings}/pause/": "/mailings/<pk>/pause/",
    "mailings/mailing/{mailings}/launch/": "/mailings/<pk>/launch/",
    "mailings/mailing/{mailings}/approve/": "/mailings/<pk>/approve/",
    "mailings/mailing/{mailings}/undo/": "/mailings/<pk>/undo/",
    "mailings/mailing/{mailings}/test/": "/mailings/<pk>/test/",
    "mailings/mailing/{mailings}/resume/": "/mailings/<pk>/resume/",
    "mailings/mailing/{mailings}/cancel/": "/mailings/<pk>/cancel/",
    "mailings/mailing/{mailings}/finish/": "/mailings/<pk>/finish/",
    "mailings/mailing/{mailings}/resend/": "/mailings/<pk>/resend/",
    "mailings/mailing/{mailings}/confirm/": "/mailings/<pk>/confirm/",
    "mailings/mailing/all/pause/": "/mailings/<pk>/pause/",
    "mailings/mailing/all/resume/": "/mailings/<pk>/resume/",
    "mailings/mailing/all/cancel/": "/mailings/<pk>/cancel/",
    "mailings/mailing/all/resend/": "/mailings/<pk>/resend/",
    "mailings/mailing/all/confirm/": "/mailings/<pk>/confirm/",
    "clients/client/add/": "/clients/",
    "clients/client/{clients}/erase/": "/clients/<pk>/erase/",
    "clients/clientimport/add/": "/imports/",
    "messages_app/message/add/": "/messages/",
    "messages_app/message/{messages}/resend/": "/messages/<pk>/resend/",
    "messages_app/message/{messages}/confirm/": "/messages/<pk>/confirm/",
    "messages_app/sendingcontrol/probe/": "/sender/probe/",
}
DEEDS = [(mine, TABLE[theirs]["post"].split()) for mine, theirs in SAME.items()]
DEEDS.append(("mailings/mailing/{mailings}/extend/", [TABLE["/mailings/<pk>/"]["patch"]]))
DEEDS.extend(
    (f"messages_app/sendingcontrol/{verb}/", TABLE["/sender/"]["patch"].split())
    for verb in ("stop", "resume")
)
# What is written by somebody who may not launch is a draft, there and here.
DEEDS.append(("mailings/mailing/add/", ["mailings.add_mailing"]))


@pytest.fixture
def message(db: None, make_message: Callable[..., Message]) -> Message:
    return make_message()


def answer_to(browser: Browser, address: str, message: Message, permissions: Any) -> int:
    user = User.objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(permissions)
    browser.force_login(user)
    ids = {
        "mailings": message.mailing_id,
        "messages": message.pk,
        "clients": message.client_id,
    }
    path = address.format(**ids)
    return browser.post(f"/admin/{path}").status_code


def named(codenames: list[str]) -> Any:
    names = [each.split(".")[1] for each in codenames]
    return Permission.objects.filter(codename__in=names)


@pytest.mark.parametrize(("address", "needed"), DEEDS)
def test_a_deed_of_the_console_needs_what_it_needs_over_rest(
    address: str, needed: list[str], client: Browser, message: Message
) -> None:
    assert answer_to(client, address, message, named(needed)) in {200, 302}


@pytest.mark.parametrize(
    ("address", "lacking"), [(address, each) for address, needed in DEEDS for each in needed]
)
def test_the_console_refuses_who_lacks_what_rest_asks_for(
    address: str, lacking: str, client: Browser, message: Message
) -> None:
    codename = lacking.split(".")[1]
    others = Permission.objects.exclude(codename=codename)
    if codename.startswith("view_"):
        others = others.exclude(codename=codename.replace("view_", "change_"))

    assert answer_to(client, address, message, others) == 403
