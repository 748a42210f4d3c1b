"""POST imports/ takes a file of clients; workers import it in steps, each row once."""

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from celery import current_app
from django.contrib.auth.models import Permission, User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from clients.imports import sheets, uploads
from clients.models import Client, ClientImport, RejectedRows
from clients.tasks import import_clients
from mailings.tasks import finish_mailing
from tests.rest import JsonClient, refusal
from toolkit import clock
from toolkit.jobs.job import LEASE
from toolkit.jobs.working import MAX_TRIES

IMPORTS = "/api/v1/imports/"
Queued = Callable[[], list[tuple[Any, ...]]]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_files(settings: Settings, tmp_path: Path) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "files"},
        },
    }


def upload(api: APIClient, content: str | bytes, name: str = "clients.csv", **form: Any) -> Any:
    content = content if isinstance(content, bytes) else content.encode()
    headers = form.pop("headers", {})
    file = SimpleUploadedFile(name, content)
    return api.post(IMPORTS, {"file": file, **form}, format="multipart", headers=headers)


def rows(count: int, first: int = 0) -> str:
    return "".join(f"7999{first + i:07},vip\n" for i in range(count))


def many(count: int) -> str:
    return "phone_number,tag\n" + rows(count)


def work(api: APIClient, answer: Any) -> dict[str, Any]:
    """Work until nothing is left to do; return how an import is shown then."""
    while uploads.import_next():
        pass
    shown: dict[str, Any] = api.get(f"{IMPORTS}{answer.json()['id']}/").json()
    return shown


def counts(shown: dict[str, Any]) -> tuple[int, ...]:
    names = ("rows", "done", "created", "updated", "unchanged", "rejected")
    return tuple(shown[name] for name in names)


def rejected(api: APIClient, answer: Any) -> str:
    response: Any = api.get(f"{IMPORTS}{answer.json()['id']}/rejected.csv")
    return b"".join(response.streaming_content).decode()


def sheet_of(*lines: tuple[Any, ...]) -> bytes:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a step be three rows, and a task be one step."""
    monkeypatch.setattr(uploads, "CHUNK", 3)
    monkeypatch.setattr(uploads, "TIME_BOX", -1)


def test_an_upload_is_taken_at_once_and_imported_later(
    api: APIClient, queued: Queued, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = upload(api, "phone_number,tag\n79991234567,vip\n+7 926 123-45-67,\n")

    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"{IMPORTS}{job['id']}/"
    assert (job["status"], job["rows"], job["done"]) == ("queued", None, 0)
    assert job["file_name"] == "clients.csv"
    assert not Client.objects.exists()
    assert queued() == [("import_clients",)]

    import_clients()

    shown = api.get(answer.headers["Location"]).json()
    assert (shown["status"], shown["error"]) == ("finished", "")
    assert counts(shown) == (2, 2, 2, 0, 0, 0)
    assert shown["created_at"] <= shown["started_at"] <= shown["finished_at"]
    assert set(Client.objects.values_list("phone_number", "tag")) == {
        ("79991234567", "vip"),
        ("79261234567", ""),
    }
    assert [each["id"] for each in api.get(f"{IMPORTS}?status=finished").json()["results"]] == [
        job["id"]
    ]
    assert api.get(f"{IMPORTS}?status=queued").json()["results"] == []


def test_known_clients_are_updated_or_skipped(api: APIClient) -> None:
    Client.objects.create(phone_number="79990000000", operator_code="1", tag="old")

    assert counts(work(api, upload(api, many(2), on_known="skip"))) == (2, 2, 1, 0, 1, 0)
    assert Client.objects.get(phone_number="79990000000").tag == "old"
    assert counts(work(api, upload(api, many(2)))) == (2, 2, 0, 1, 1, 0)
    known = Client.objects.get(phone_number="79990000000")
    assert (known.tag, known.operator_code) == ("vip", "1")


def test_a_spreadsheet_is_imported_like_csv(api: APIClient) -> None:
    content = sheet_of(
        ("Phone_number", "tag", "timezone"),
        (79991234567, "vip\nand more", "Europe/Moscow"),
        (79991234568.0, None, None),
        (None, None, None),
        ("12345", "bad", None),
    )

    answer = upload(api, content, "Книга.xlsx")
    shown = work(api, answer)

    assert shown["status"] == "finished"
    assert counts(shown) == (3, 3, 2, 0, 0, 1)
    assert Client.objects.get(phone_number="79991234567").tag == "vip and more"
    (_, row) = csv.reader(io.StringIO(rejected(api, answer)))
    assert row[0] == "5"  # the number of the row in the sheet


def test_rejected_rows_are_a_file_that_can_be_corrected_and_come_back(api: APIClient) -> None:
    answer = upload(api, "phone_number;tag\n+7 999;=SUM(1)\n+7 999 123-45-67;ok\n79991234568;a;b\n")

    assert counts(work(api, answer)) == (3, 3, 1, 0, 0, 2)
    text = rejected(api, answer)
    header, first, second = csv.reader(io.StringIO(text))
    assert header == ["line", "error", "phone_number", "tag"]
    assert first[0] == "2"
    assert "is not an international phone number" in first[1]
    assert first[2:] == ["'+7 999", "'=SUM(1)"]
    assert second == ["4", "The row has 3 cells, the header 2.", "79991234568", "a", "b"]

    corrected = text.replace("'+7 999,", "'+7 999 123-45-69,").replace("79991234568,a,b", "7,a")
    assert counts(work(api, upload(api, corrected))) == (2, 2, 1, 0, 0, 1)
    assert Client.objects.get(phone_number="79991234569").tag == "=SUM(1)"


@pytest.mark.usefixtures("steps")
def test_progress_is_shown_step_by_step(api: APIClient) -> None:
    answer = upload(api, many(7))
    seen = []
    while uploads.import_next():
        shown = api.get(answer.headers["Location"]).json()
        seen.append((shown["status"], shown["rows"], shown["done"], Client.objects.count()))

    assert seen == [("running", 7, 0, 0), *(("running", 7, n, n) for n in (3, 6, 7))]
    assert api.get(answer.headers["Location"]).json()["status"] == "finished"


class Killed(BaseException):
    """The worker is killed: nothing of it runs any more, and its lease stays."""


def die(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("when", ["before the commit", "after it"])
def test_the_death_of_a_worker_neither_loses_nor_doubles_a_row(
    api: APIClient, queued: Queued, monkeypatch: pytest.MonkeyPatch, step: int, when: str
) -> None:
    answer = upload(api, f"{many(4)}bad,vip\n{rows(4, first=4)}")
    for _ in range(step):
        uploads.import_next()
    with monkeypatch.context() as patch:
        if when == "after it":
            patch.setattr("toolkit.jobs.working._release", die)
        else:
            patch.setattr(ClientImport, "renew_lease", die)
        with pytest.raises(Killed):
            uploads.import_next()

    assert not uploads.import_next()  # for the lease has not ended
    finish_mailing()
    assert ("import_clients",) not in queued()
    ClientImport.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    finish_mailing()
    assert ("import_clients",) in queued()
    assert counts(work(api, answer)) == (9, 9, 8, 0, 0, 1)
    assert Client.objects.count() == 8


def test_a_worker_that_was_taken_for_dead_writes_nothing_more(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer = upload(api, many(6))
    opened = uploads._opened

    def stand_still(job: ClientImport) -> Any:
        """Have another worker import everything meanwhile."""
        write = opened(job)
        monkeypatch.setattr(uploads, "_opened", opened)
        ClientImport.objects.update(lease_until=clock.now() - timedelta(seconds=1))
        work(api, answer)
        return write

    monkeypatch.setattr(uploads, "_opened", stand_still)

    assert not uploads.import_next()
    assert counts(api.get(answer.headers["Location"]).json()) == (6, 6, 6, 0, 0, 0)
    assert "went on elsewhere" in caplog.text


def test_imports_take_turns_and_one_is_worked_on_at_a_time(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "CHUNK", 3)
    monkeypatch.setattr(uploads, "TIME_BOX", -1)
    large, small = upload(api, many(30)), upload(api, many(1))
    for _ in range(6):
        uploads.import_next()

    assert api.get(small.headers["Location"]).json()["status"] == "finished"
    assert api.get(large.headers["Location"]).json()["status"] == "running"
    claimed = ClientImport.objects.claim_next(now=clock.now())
    assert claimed
    assert ClientImport.objects.claim_next(now=clock.now()) is None
    assert ClientImport.objects.claim_next(now=clock.now() + LEASE + LEASE) is not None


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_workers_at_once_count_every_row_once(
    api: APIClient, at_once: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "CHUNK", 50)
    answers = [upload(api, many(500)), upload(api, many(700))]

    def serve() -> None:
        while ClientImport.objects.unfinished().exists():
            uploads.import_next()

    at_once(*[serve] * 4)

    shown = [api.get(answer.headers["Location"]).json() for answer in answers]
    assert [(each["status"], each["done"], each["rejected"]) for each in shown] == [
        ("finished", 500, 0),
        ("finished", 700, 0),
    ]
    assert sum(each["created"] for each in shown) == 700 == Client.objects.count()


def test_an_import_that_fails_again_and_again_is_given_up(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = upload(api, many(1)), upload(api, many(2))
    saved, failures = uploads._save, 0

    def fail(job: ClientImport, *args: Any) -> None:
        if job.pk == broken.json()["id"]:
            raise RuntimeError("a mistake of ours")
        saved(job, *args)

    monkeypatch.setattr(uploads, "_save", fail)
    while ClientImport.objects.unfinished().exists():
        try:
            uploads.import_next()
        except RuntimeError:
            failures += 1

    shown = api.get(broken.headers["Location"]).json()
    assert (shown["status"], failures) == ("failed", MAX_TRIES + 1)
    assert "given up" in shown["error"]
    assert api.get(whole.headers["Location"]).json()["status"] == "finished"


BOMB = "The spreadsheet is too large"


def bomb() -> bytes:
    content = io.BytesIO()
    with (
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as part,
    ):
        for _ in range(sheets.MAX_UNPACKED // 2**20 + 1):
            part.write(bytes(2**20))
    return content.getvalue()


def test_a_zip_bomb_is_not_unpacked(api: APIClient) -> None:
    shown = work(api, upload(api, bomb(), "bomb.xlsx"))

    assert (shown["status"], shown["rows"]) == ("failed", None)
    assert shown["error"].startswith(BOMB)


def test_a_sheet_of_too_many_rows_is_refused_as_a_whole(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "MAX_ROWS", 3)
    lines = [(f"7999{i:07}",) for i in range(4)]

    assert work(api, upload(api, sheet_of(("phone_number",), *lines[:3])))["status"] == "finished"
    shown = work(api, upload(api, sheet_of(("phone_number",), *lines)))

    assert shown["status"] == "failed"
    assert shown["error"].startswith(BOMB)
    assert "CSV" in shown["error"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (sheets.SIGNATURE + b"no archive", "cannot be read"),
        (sheet_of(("name",), ("Ada",)), "There are unknown columns: 'name'."),
        (sheet_of(), "The file is empty."),
    ],
)
def test_what_is_no_sheet_of_clients_fails_with_a_reason(
    api: APIClient, content: bytes, sentence: str
) -> None:
    shown = work(api, upload(api, content))

    assert (shown["status"], shown["done"]) == ("failed", 0)
    assert sentence in shown["error"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name\nAda\n", "There are unknown columns: 'name'."),
        ("tag\nvip\n", "There is no column phone_number."),
        (sheets.OLD_SIGNATURE + b"x" * 50, "old Excel file"),
        ("phone_number\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_what_is_no_file_of_clients_is_refused_at_once(
    api: APIClient, content: str | bytes, sentence: str
) -> None:
    answer = upload(api, content)

    assert refusal(answer) == (400, {"file": "invalid_clients_file"})
    assert sentence in answer.json()["errors"][0]["detail"]
    assert not ClientImport.objects.exists()


def test_a_form_must_have_a_file_and_nothing_unknown(api: APIClient) -> None:
    assert refusal(api.post(IMPORTS, {}, format="multipart")) == (400, {"file": "required"})
    assert refusal(upload(api, b"")) == (400, {"file": "empty"})
    assert refusal(upload(api, many(1), on_known="merge")) == (400, {"on_known": "invalid_choice"})
    assert refusal(upload(api, many(1), onknown="skip")) == (400, {"onknown": "unknown_field"})
    assert api.post(IMPORTS, {"file": "x"}).status_code == 415


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    api: APIClient, settings: Settings
) -> None:
    settings.IMPORT_MAX_MB = 1
    answer = upload(api, many(1) + " " * (2 * 2**20))

    assert refusal(answer) == (413, {None: "too_large"})
    assert "1 MB" in answer.json()["errors"][0]["detail"]


def test_repeated_with_its_key_it_is_imported_once(api: APIClient) -> None:
    key = {"Idempotency-Key": "a-key"}

    first, second = (upload(api, many(2), headers=key) for _ in "12")

    assert (first.json(), first.headers["Location"]) == (second.json(), second.headers["Location"])
    assert ClientImport.objects.count() == 1
    assert len(default_storage.listdir("imports")[1]) == 1
    assert refusal(upload(api, many(3), headers=key))[0] == 422


def test_to_change_known_clients_one_must_be_allowed_to(db: None) -> None:
    user = User.objects.create(username="adder")
    codenames = ("add_clientimport", "view_clientimport", "add_client")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    api = JsonClient()
    api.force_authenticate(user)

    refused = upload(api, many(1))

    assert refusal(refused) == (403, {None: "permission_denied"})
    assert "(clients.change_client)" in refused.json()["errors"][0]["detail"]
    assert upload(api, many(1), on_known="skip").status_code == 202


def test_the_file_goes_when_its_import_has_ended_and_the_report_after_weeks(
    api: APIClient, settings: Settings
) -> None:
    settings.JOB_DAYS = 7
    answer = upload(api, "phone_number\nx\n")
    finish_mailing()
    assert len(default_storage.listdir("imports")[1]) == 1
    work(api, answer)

    finish_mailing()

    assert default_storage.listdir("imports")[1] == []
    assert api.get(answer.headers["Location"]).json()["rejected"] == 1
    ClientImport.objects.update(finished_at=timezone.now() - timedelta(days=8))
    finish_mailing()
    assert api.get(answer.headers["Location"]).status_code == 404
    assert not RejectedRows.objects.exists()


def test_a_file_that_the_worker_cannot_see_is_told(api: APIClient) -> None:
    answer = upload(api, many(1))
    default_storage.delete(str(ClientImport.objects.get().file.name))

    shown = work(api, answer)

    assert shown["status"] == "failed"
    assert "VAR_DIR/files" in shown["error"]


def test_files_are_kept_under_names_of_our_own(api: APIClient) -> None:
    upload(api, many(1), "../../etc/passwd.csv")

    job = ClientImport.objects.get()
    assert str(job.file.name).startswith("imports/")
    assert "passwd" not in str(job.file.name)
    assert job.file_name == "passwd.csv"


def test_imports_have_a_queue_of_their_own() -> None:
    route = current_app.amqp.router.route({}, "import_clients")

    assert route["queue"].name == "imports"
    assert "imports" in current_app.amqp.queues.consume_from  # of a worker without -Q


def test_an_outage_of_the_database_leaves_the_import_to_the_next_tick(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("the server closed the connection")

    answer = upload(api, many(1))
    monkeypatch.setattr(uploads, "_save", fail)
    import_clients()
    monkeypatch.undo()

    assert "Importing waits for the database" in caplog.text
    ClientImport.objects.update(lease_until=None)
    assert work(api, answer)["status"] == "finished"
