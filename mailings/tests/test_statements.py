"""A statement says what became of each message, and who has nothing of ours can verify it."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from pytest_django import Settings
from rest_framework.test import APIClient

from clients.models import Client
from mailings import tasks
from mailings.closing import finish_mailing
from mailings.models import Mailing, Statement, StatementKey, StatementPart
from mailings.services import end_mailing
from mailings.statements import making, merkle, verify_statement
from mailings.statements.leaves import COLUMNS, Leaves, Row
from mailings.statements.proving import handed_out, last_statement, proven
from messages_app import erasing
from messages_app.models import Message
from messages_app.services import confirm_message
from tests.rest import refusal

MakeMailing = Callable[..., Mailing]
MakeMessage = Callable[..., Message]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class TestTheTree:
    """It is that of RFC 6962, section 2.1."""

    def root(self, leaves: list[bytes]) -> bytes:
        """Return the root as the RFC defines it."""
        if len(leaves) < 2:
            return sha256(b"\0" + leaves[0]).digest() if leaves else sha256().digest()
        left = 1 << ((len(leaves) - 1).bit_length() - 1)
        return sha256(b"\1" + self.root(leaves[:left]) + self.root(leaves[left:])).digest()

    @pytest.mark.parametrize("number", [*range(20), 31, 32, 33, 100])
    def test_its_root(self, number: int) -> None:
        leaves = [b"%d" % place for place in range(number)]
        hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
        assert merkle.root(hashes) == self.root(leaves)
        parts = [merkle.root(hashes[begin : begin + 4]) for begin in range(0, number, 4)]
        assert merkle.root(parts) == self.root(leaves)

    def test_one_of_the_rfcs_own(self) -> None:
        """As published with Certificate Transparency."""
        leaves = [b"", b"\0", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43"]
        assert merkle.root([merkle.leaf_hash(each) for each in leaves]).hex() == (
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"
        )


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a part of four messages."""
    monkeypatch.setattr(making, "PART", 4)


@pytest.fixture
def sent(db: None, make_mailing: MakeMailing, make_message: MakeMessage, now: datetime) -> Mailing:
    """Close a mailing: eleven messages accepted, with two texts, two failed, one unconfirmed."""
    mailing = make_mailing(text="Hello, all", stop_time=now - MINUTE, text_version=2)
    mailing.former_texts.create(version=1, text="Hello", replaced_at=now - HOUR)
    done: dict[str, Any] = {"mailing": mailing, "next_attempt_at": None, "attempts": 1}
    for place in range(11):
        sent_at = now - HOUR + place * MINUTE
        version = 1 if place < 4 else 2
        make_message(**done, status="success", sent_at=sent_at, text_version=version)
    for code in ("rejected", "rejected", "unconfirmed"):
        make_message(**done, status="fail", error_code=code, text_version=2)
    for message in mailing.messages.select_related("client"):
        assert message.client
        message.phone_number = message.client.phone_number
        message.save()
    finish_mailing(mailing.pk, now=now)
    mailing.refresh_from_db()
    return mailing


def state(mailing: Mailing, now: datetime) -> Statement:
    """Make what is due of a mailing."""
    for pk in making.statements_to_make(now=now + 2 * making.QUIET):
        making.make(pk, now=now, ends_at=inf)
    statement = last_statement(mailing)
    assert statement
    return statement


def verified(document: dict[str, Any], *key: str) -> str:
    return "\n".join(verify_statement.verify(json.dumps(document), *key))


def test_it_says_what_became_of_all(sent: Mailing, now: datetime) -> None:
    said = handed_out(state(sent, now))["statement"]

    assert said["mailing"]["id"] == sent.pk
    assert said["messages"] == {
        "audience": 14,
        "success": 11,
        "failed": {"rejected": 2},
        "unconfirmed": 1,
    }
    assert said["texts"] == [
        {"version": 1, "sha256": sha256(b"Hello").hexdigest(), "success": 4},
        {"version": 2, "sha256": sha256(b"Hello, all").hexdigest(), "success": 7},
    ]
    first, last = (datetime.fromisoformat(said["sent"][name]) for name in ("first_at", "last_at"))
    assert (first, last) == (now - HOUR, now - 50 * MINUTE)
    assert (said["number"], said["follows"], said["tree"]["size"]) == (1, None, 14)


def test_who_has_nothing_of_ours_verifies_it_and_each_message(
    sent: Mailing, now: datetime, tmp_path: Path
) -> None:
    statement = state(sent, now)
    key = json.loads(statement.document)["key"]
    for message in sent.messages.all():
        said = verified(proven(statement, message), key)
        assert f"Message {message.pk}: {'success' if message.sent_at else ''}" in said
        assert f"It went to {message.phone_number}; the sender has it as" in said

    file = tmp_path / "statement.json"
    file.write_text(json.dumps(proven(statement, message)))
    alone = [sys.executable, "-I", verify_statement.__file__, str(file), key]
    ran = subprocess.run(alone, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "14 messages, 11 accepted by the sender, 2 failed, 1 of which nobody knows" in ran.stdout


def forged(document: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    """Return a document in which something was changed."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    place: Any = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("statement", "messages", "success"), 12, "signature"),
        (("statement", "texts", 0, "sha256"), "0" * 64, "signature"),
        (("signature",), "A" * 86 + "==", "signature"),
        (("proof", "index"), 4, "not in the tree"),
        (("proof", "path"), [], "not in the tree"),
        (("proof", "leaf"), '{"outcome":"success"}', "not in the tree"),
        (("proof", "phone_number"), "79990000000", "another number"),
    ],
)
def test_what_is_forged_is_found(
    path: tuple[Any, ...], value: Any, said: str, sent: Mailing, now: datetime
) -> None:
    message = sent.messages.order_by("pk")[5]
    document = proven(state(sent, now), message)
    verified(document)
    with pytest.raises(ValueError, match=said):
        verified(forged(document, *path, value=value))


def test_another_key_is_not_ours(sent: Mailing, now: datetime, tmp_path: Path) -> None:
    document = handed_out(state(sent, now))
    with pytest.raises(ValueError, match="signed with another key"):
        verified(document, "A" * 43 + "=")
    file = tmp_path / "statement.json"
    file.write_text("{}")
    assert verify_statement.main([str(file)]) == 1
    assert verify_statement.main([]) == 2


def test_leaves_of_others_cannot_be_guessed(sent: Mailing, now: datetime) -> None:
    """Whoever has a proof has hashes of others' leaves, and knows what may stand in them."""
    statement = state(sent, now)
    leaves = making.leaves_of(statement)
    other = Leaves(bytes(32), sent.sender_key)
    row = Row(*sent.messages.values_list(*COLUMNS)[0])
    assert leaves.of(row) != other.of(row)


def test_whose_clients_are_deleted_meanwhile_are_neither_lost_nor_twice(
    sent: Mailing, now: datetime
) -> None:
    begun = making.begin(sent.pk, now=now)
    assert begun
    making.make(begun.pk, now=now, ends_at=0)
    clients = list(Client.objects.order_by("pk"))
    for place in (0, 2, 9, 13):  # two that were taken in, two that were not
        clients[place].delete()
    making.make(begun.pk, now=now, ends_at=inf)

    statement = last_statement(sent)
    assert statement
    assert json.loads(statement.document)["messages"]["audience"] == 14
    taken = [pk for part in statement.parts.all() for pk in making.message_ids(part)]
    assert sorted(taken) == sorted(sent.messages.values_list("pk", flat=True))
    assert [len(making.message_ids(part)) for part in statement.parts.order_by("place")] == [
        *(4, 4, 4, 2)
    ]
    for message in sent.messages.all():
        verified(proven(statement, message))


def test_it_is_proven_when_numbers_are_forgotten(sent: Mailing, now: datetime) -> None:
    statement = state(sent, now)
    after: int | None = 0
    while after is not None:
        after = erasing.forget_numbers(sent.pk, after=after)
    for message in sent.messages.all():
        document = proven(statement, message)
        assert document["proof"]["phone_number"] is None
        assert f"Message {message.pk}" in verified(document)


def test_what_is_known_later_makes_a_further_one(sent: Mailing, now: datetime) -> None:
    first = state(sent, now)
    message = sent.messages.get(error_code="unconfirmed")
    confirm_message(message, now=now)
    with pytest.raises(ValidationError, match="A further one"):
        proven(first, message)

    second = state(sent, now + HOUR)
    said = json.loads(second.document)
    assert said["follows"] == {
        "number": 1,
        "sha256": sha256(first.document.encode()).hexdigest(),
    }
    assert (said["number"], said["messages"]["success"], said["messages"]["unconfirmed"]) == (
        *(2, 12, 0),
    )
    message.refresh_from_db()
    verified(proven(second, message))
    assert not StatementPart.objects.filter(statement=first).exists()


def test_what_changes_while_it_is_made_has_it_made_anew(sent: Mailing, now: datetime) -> None:
    begun = making.begin(sent.pk, now=now)
    assert begun
    making.make(begun.pk, now=now, ends_at=0)
    confirm_message(sent.messages.get(error_code="unconfirmed"), now=now)
    making.make(begun.pk, now=now, ends_at=inf)
    assert last_statement(sent) is None

    said = json.loads(state(sent, now).document)
    assert (said["number"], said["messages"]["success"]) == (1, 12)


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_of_two_at_once_one_makes_it(
    sent: Mailing, now: datetime, at_once: Callable[..., Any]
) -> None:
    begun = making.begin(sent.pk, now=now)
    assert begun
    pk = begun.pk
    at_once(*[lambda: making.make(pk, now=now, ends_at=inf)] * 3)
    making.make(pk, now=now, ends_at=inf)

    statement = last_statement(sent)
    assert statement
    assert json.loads(statement.document)["messages"]["audience"] == 14
    assert statement.parts.count() == 4


def test_it_is_made_once_nothing_has_changed_for_a_while(
    sent: Mailing, now: datetime, queued: Callable[[], list[Any]]
) -> None:
    assert making.statements_to_make(now=now) == []
    Mailing.objects.update(result_changed_at=now - making.QUIET)
    tasks.finish_mailing()
    statement = Statement.objects.get()
    assert ("make_statement", statement.pk) in queued()

    tasks.make_statement(statement.pk)
    assert last_statement(sent) == statement
    assert making.statements_to_make(now=now + HOUR) == []


def test_it_is_made_in_steps(
    sent: Mailing, now: datetime, queued: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "STATE_TIME_BOX", -1)
    begun = making.begin(sent.pk, now=now)
    assert begun
    for place in range(1, 4):
        tasks.make_statement(begun.pk)
        assert making.begin(sent.pk, now=now) == begun
        assert queued() == [("make_statement", begun.pk)]
        assert begun.parts.count() == place
    tasks.make_statement(begun.pk)
    assert queued() == []
    assert last_statement(sent) == begun


def test_a_mailing_without_messages_has_one_too(
    db: None, make_mailing: MakeMailing, now: datetime
) -> None:
    mailing = end_mailing(make_mailing(last_run_time=now))
    said = handed_out(state(mailing, now))
    assert said["statement"]["messages"]["audience"] == 0
    assert "0 messages" in verified(said)


def test_one_that_is_not_over_has_none(db: None, make_mailing: MakeMailing, now: datetime) -> None:
    assert making.begin(make_mailing().pk, now=now) is None
    assert making.statements_to_make(now=now + HOUR) == []


def test_with_its_mailing_it_is_deleted(sent: Mailing, now: datetime) -> None:
    begun = making.begin(sent.pk, now=now)
    assert begun
    Mailing.objects.update(deleted_at=now)
    making.make(begun.pk, now=now, ends_at=inf)
    assert not Statement.objects.exists()


class TestTheKey:
    def test_it_is_encrypted_and_the_same_for_all(self, sent: Mailing, now: datetime) -> None:
        first = json.loads(state(sent, now).document)
        confirm_message(sent.messages.get(error_code="unconfirmed"), now=now)
        assert json.loads(state(sent, now + HOUR).document)["key"] == first["key"]
        assert bytes(StatementKey.objects.get().private).startswith(b"gAAAA")

    def test_it_outlives_an_exchange_of_the_secret_key(
        self, sent: Mailing, now: datetime, settings: Settings
    ) -> None:
        key = json.loads(state(sent, now).document)["key"]
        former = settings.SECRET_KEY
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [former]
        call_command("renew_secrets")
        settings.SECRET_KEY_FALLBACKS = []
        confirm_message(sent.messages.get(error_code="unconfirmed"), now=now)
        assert json.loads(state(sent, now + HOUR).document)["key"] == key

    def test_where_it_cannot_be_read_there_is_a_new_one(
        self, sent: Mailing, now: datetime, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = handed_out(state(sent, now))
        settings.SECRET_KEY = "lost"
        with pytest.raises(CommandError, match="key of statements cannot be read"):
            call_command("renew_secrets")
        confirm_message(sent.messages.get(error_code="unconfirmed"), now=now)
        second = handed_out(state(sent, now + HOUR))
        assert first["statement"]["key"] != second["statement"]["key"]
        assert "signed with a new key" in caplog.text
        verified(first)
        verified(second)


class TestOverRest:
    def test_it_is_handed_out(self, api: APIClient, sent: Mailing, now: datetime) -> None:
        message = sent.messages.order_by("pk")[7]
        for address in ("statement/", f"statement/{message.pk}/"):
            assert api.get(f"/api/v1/mailings/{sent.pk}/{address}").status_code == 404
        statement = state(sent, now)

        answer = api.get(f"/api/v1/mailings/{sent.pk}/statement/")
        assert answer.json() == handed_out(statement)
        proof = api.get(f"/api/v1/mailings/{sent.pk}/statement/{message.pk}/").json()
        assert f"It went to {message.phone_number}" in verified(proof)
        assert api.get(f"/api/v1/mailings/{sent.pk}/statement/0/").status_code == 404

    def test_while_a_further_one_is_to_be_made_there_is_no_proof(
        self, api: APIClient, sent: Mailing, now: datetime
    ) -> None:
        state(sent, now)
        message = sent.messages.get(error_code="unconfirmed")
        confirm_message(message, now=now)
        answer = api.get(f"/api/v1/mailings/{sent.pk}/statement/{message.pk}/")
        assert refusal(answer) == (409, {None: "statement_outdated"})


def test_the_page_of_the_mailing_leads_to_it(client: Browser, sent: Mailing, now: datetime) -> None:
    client.force_login(User.objects.create_superuser("root"))
    page = f"/admin/mailings/mailing/{sent.pk}"
    assert "Delivery statement" not in client.get(f"{page}/change/").content.decode()
    assert client.get(f"{page}/statement/").status_code == 404
    statement = state(sent, now)

    assert f'href="{page}/statement/">Delivery statement 1' in (
        client.get(f"{page}/change/").content.decode()
    )
    answer = client.get(f"{page}/statement/")
    assert answer.json() == handed_out(statement)
    assert answer["Content-Disposition"] == (f'attachment; filename="statement-{sent.pk}-1.json"')


class TestTheCommands:
    def test_one_writes_it_and_one_verifies_it(
        self, sent: Mailing, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """Also where there is none yet."""
        client = Client.objects.order_by("pk")[3]
        file = tmp_path / "statement.json"
        call_command("statement", str(sent.pk), f"--proof=+{client.phone_number}")
        file.write_text(capsys.readouterr().out)

        with pytest.raises(SystemExit) as ended:
            call_command("verify_statement", str(file))
        assert ended.value.code == 0
        assert f"It went to {client.phone_number}" in capsys.readouterr().out
        call_command("statement", str(sent.pk))
        assert json.loads(capsys.readouterr().out) == handed_out(Statement.objects.get())

        file.write_text(file.read_text().replace('"success": 11', '"success": 12'))
        with pytest.raises(SystemExit) as ended:
            call_command("verify_statement", str(file))
        assert ended.value.code == 1
        assert "NOT GENUINE" in capsys.readouterr().err

    def test_it_says_why_there_is_none(self, make_mailing: MakeMailing, sent: Mailing) -> None:
        open_one = make_mailing()
        stranger = Client.objects.create(phone_number="79990009999", operator_code="999")
        for arguments, said in (
            (["0"], "no mailing 0"),
            ([str(open_one.pk)], "before the mailing is over"),
            ([str(sent.pk), f"--proof={stranger.pk}"], "no message of the mailing"),
        ):
            with pytest.raises(CommandError, match=said):
                call_command("statement", *arguments)
