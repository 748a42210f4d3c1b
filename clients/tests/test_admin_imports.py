"""A file is imported in the console: uploaded, looked at, mapped, started, watched."""

import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.utils import timezone
from pytest_django import Settings

from clients.imports import uploads
from clients.models import Client, ClientImport

pytestmark = pytest.mark.django_db

LIST = "/admin/clients/clientimport/"
FILE = """Имя;Телефон;Группа
Ольга;+7 (999) 193-04-29;vip
Пётр;12345;new
Вера;8 926 123-45-67;
"""


@pytest.fixture(autouse=True)
def _own_files(settings: Settings, tmp_path: Path) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "files"},
        },
    }


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


def upload(browser: Browser, content: str | bytes = FILE, name: str = "people.csv") -> Any:
    content = content if isinstance(content, bytes) else content.encode()
    form = {"file": SimpleUploadedFile(name, content)}
    return browser.post(f"{LIST}add/", form, follow=True)


def start(browser: Browser, job: ClientImport, *columns: str, **form: str) -> Any:
    values = {"column": list(columns), "has_header": "on", "on_known": "update", **form}
    return browser.post(f"{LIST}{job.pk}/start/", values, follow=True)


def work() -> None:
    while uploads.import_next():
        pass


def sheet_of(*lines: tuple[Any, ...]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for line in lines:
        book.active.append(line)
    book.save(file)
    return file.getvalue()


def test_the_first_rows_are_shown_with_the_columns_guessed_and_what_is_wrong(
    admin_client: Browser,
) -> None:
    Client.objects.create(phone_number="79991930429")

    page = upload(admin_client)

    shown = page.context["preview"]
    assert shown.mapping.columns == ["", "phone_number", "tag"]
    assert (shown.good, shown.bad, shown.known, shown.is_whole) == (2, 1, 1, True)
    assert [row.line for row in shown.rows if row.problem] == [3]
    assert "not an international phone number" in page.content.decode()
    assert "2 rows can be imported, 1 cannot" in page.content.decode()
    assert Client.objects.count() == 1


def test_nothing_is_imported_before_somebody_starts_it_and_then_all_of_it(
    admin_client: Browser,
) -> None:
    upload(admin_client)
    job = ClientImport.objects.get()
    work()
    assert not Client.objects.exists()

    page = start(admin_client, job, "", "phone_number", "tag")
    assert "waiting for its turn" in page.content.decode()
    work()

    assert dict(Client.objects.values_list("phone_number", "tag")) == {
        "79991930429": "vip",
        "79261234567": "",
    }
    told = admin_client.get(f"{LIST}{job.pk}/progress/").content.decode()
    assert "finished" in told
    assert "hx-get" not in told
    assert f"/api/v1/imports/{job.pk}/rejected.csv" in told
    (rejected,) = uploads.rejected_rows(ClientImport.objects.get())
    assert rejected[0][0] == 3
    assert rejected[0][2:] == ["Пётр", "12345", "new"]


def test_the_file_of_rejected_rows_comes_back_as_it_is(admin_client: Browser) -> None:
    page = upload(admin_client, "line,error,name,phone_number\n3,why,'=Ann,79991930429\n")
    assert page.context["preview"].mapping.columns == ["line", "error", "", "phone_number"]
    start(admin_client, ClientImport.objects.get(), "", "", "", "phone_number")
    work()
    assert Client.objects.get().phone_number == "79991930429"


def test_a_file_without_titles_has_its_numbers_found(admin_client: Browser) -> None:
    page = upload(admin_client, "Ann,79991930429\nBob,79261234567\n")
    shown = page.context["preview"]
    assert (shown.mapping.columns, shown.mapping.has_header) == (["", "phone_number"], False)
    job = ClientImport.objects.get()
    admin_client.post(f"{LIST}{job.pk}/start/", {"column": ["tag", "phone_number"]})
    work()
    assert Client.objects.get(phone_number="79991930429").tag == "Ann"
    assert ClientImport.objects.get().rows == 2


def test_a_spreadsheet_is_shown_and_imported_alike(admin_client: Browser) -> None:
    page = upload(admin_client, sheet_of(("Phone", "Tag"), (79991930429.0, "vip")), "people.xlsx")
    assert page.context["preview"].mapping.columns == ["phone_number", "tag"]
    assert page.context["preview"].good == 1
    start(admin_client, ClientImport.objects.get(), "phone_number", "tag")
    work()
    assert Client.objects.get().tag == "vip"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (("", "", "tag"), "Say which column is the phone number."),
        (("tag", "phone_number", "tag"), "Two columns are the same"),
        (("nonsense", "phone_number", ""), "Choose from the list"),
    ],
)
def test_columns_that_make_no_sense_are_refused_on_the_page(
    columns: tuple[str, ...], reason: str, admin_client: Browser
) -> None:
    upload(admin_client)
    job = ClientImport.objects.get()
    assert reason in start(admin_client, job, *columns).content.decode()
    job.refresh_from_db()
    assert job.status == ClientImport.UPLOADED


def test_known_clients_can_be_left_as_they_are(admin_client: Browser) -> None:
    Client.objects.create(phone_number="79991930429", tag="old")
    upload(admin_client)
    start(admin_client, ClientImport.objects.get(), "", "phone_number", "tag", on_known="skip")
    work()
    assert Client.objects.get(phone_number="79991930429").tag == "old"
    assert ClientImport.objects.get().unchanged == 1


@pytest.mark.parametrize("content", [b"", b"\xd0\xcf\x11\xe0old", b"PK\x03\x04no"])
def test_what_is_no_file_of_clients_is_refused_beside_the_field(
    content: bytes, admin_client: Browser
) -> None:
    page = upload(admin_client, content)
    assert page.context["errors"]
    assert not ClientImport.objects.exists()


def test_a_file_that_is_dropped_or_forgotten_is_gone(admin_client: Browser) -> None:
    upload(admin_client)
    job = ClientImport.objects.get()
    admin_client.post(f"{LIST}{job.pk}/drop/")
    assert not ClientImport.objects.exists()

    upload(admin_client)
    name = ClientImport.objects.get().file.name
    uploads.tend_imports(now=timezone.now())
    assert default_storage.exists(str(name))
    uploads.tend_imports(now=timezone.now() + 2 * uploads.KEPT)
    assert not ClientImport.objects.exists()


def test_what_was_started_cannot_be_started_again_or_dropped(admin_client: Browser) -> None:
    upload(admin_client)
    job = ClientImport.objects.get()
    start(admin_client, job, "", "phone_number", "")
    start(admin_client, job, "", "phone_number", "tag")
    admin_client.post(f"{LIST}{job.pk}/drop/")
    job.refresh_from_db()
    assert job.mapping == {"columns": ["", "phone_number", ""], "has_header": True}


def test_rest_does_not_see_what_nobody_has_started(admin_client: Browser) -> None:
    upload(admin_client)
    job = ClientImport.objects.get()
    assert admin_client.get("/api/v1/imports/").json()["results"] == []
    assert admin_client.get(f"/api/v1/imports/{job.pk}/").status_code == 404


def test_only_who_may_change_clients_may_have_known_ones_changed(client: Browser) -> None:
    somebody = User.objects.create(username="maria", is_staff=True)
    names = ["view_clientimport", "add_clientimport", "add_client"]
    somebody.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(somebody)
    page = upload(client)
    job = ClientImport.objects.get()
    assert 'value="update"' not in page.content.decode()
    assert start(client, job, "", "phone_number", "").status_code == 403
    assert start(client, job, "", "phone_number", "", on_known="skip").status_code == 200

    somebody.user_permissions.set(Permission.objects.filter(codename="view_clientimport"))
    client.force_login(User.objects.get(pk=somebody.pk))
    assert client.get(f"{LIST}{job.pk}/change/").status_code == 200
    assert upload(client).status_code == 403
