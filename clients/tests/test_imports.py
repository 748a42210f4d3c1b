"""Clients are imported from files, row by row, by the rules of the model."""

import csv
import io
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clients.imports import ImportResult, import_clients, importing
from clients.imports.csv_rows import CsvRows
from clients.models import Client
from mailing_manager_project.environment import BASE_DIR

pytestmark = pytest.mark.django_db

SAMPLE = BASE_DIR / "mailing_manager_project" / "launcher" / "sample" / "clients.csv"

# Each example begins with what the last one left in the database, which is part of the test.
many_examples = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def import_text(text: str | bytes) -> tuple[ImportResult, dict[int, str]]:
    """Import a file; return the counts and the reason for each bad line."""
    errors: dict[int, str] = {}
    file = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    return import_clients(file, on_error=errors.__setitem__), errors


def not_expected(line: int, reason: str) -> None:
    pytest.fail(f"line {line}: {reason}")


def stored() -> dict[str, tuple[str, str, str]]:
    return {
        client.phone_number: (client.operator_code, client.tag, str(client.timezone))
        for client in Client.objects.all()
    }


def many_rows(number: int) -> str:
    return "phone_number\n" + "".join(f"7999{i:07}\n" for i in range(number))


def test_a_file_with_all_columns_in_any_order_is_imported() -> None:
    result, errors = import_text(
        " Tag ,PHONE_NUMBER,timezone,Operator_Code\nvip,+7 999 123-45-67,Europe/Moscow,495\n"
    )
    assert result == ImportResult(created=1)
    assert stored() == {"79991234567": ("495", "vip", "Europe/Moscow")}
    assert errors == {}


@pytest.mark.parametrize(
    "text",
    [
        "phone_number\n79991234567\n",
        "phone_number,operator_code,tag,timezone\n79991234567,,,\n",
        "phone_number;tag\n79991234567;\n",
    ],
)
def test_absent_columns_and_empty_cells_of_a_new_client_take_the_models_defaults(text: str) -> None:
    assert import_text(text)[0] == ImportResult(created=1)
    assert stored() == {"79991234567": ("999", "", "UTC")}


def test_an_absent_column_leaves_an_existing_client_as_it_is() -> None:
    import_text("phone_number,operator_code,tag,timezone\n79991234567,495,vip,Asia/Omsk\n")
    result, _ = import_text("phone_number,tag\n79991234567,new\n")
    assert result == ImportResult(updated=1)
    assert stored() == {"79991234567": ("495", "new", "Asia/Omsk")}
    assert import_text("phone_number\n79991234567\n")[0] == ImportResult(unchanged=1)
    assert stored() == {"79991234567": ("495", "new", "Asia/Omsk")}


def test_an_empty_cell_resets_an_existing_client_to_the_default() -> None:
    import_text("phone_number,operator_code,tag,timezone\n79991234567,495,vip,Asia/Omsk\n")
    result, _ = import_text("phone_number,operator_code,tag,timezone\n79991234567,,,\n")
    assert result == ImportResult(updated=1)
    assert stored() == {"79991234567": ("999", "", "UTC")}


def test_importing_the_same_file_again_touches_nothing() -> None:
    text = "phone_number,tag\n79991234567,vip\n79991234568,new\n"
    import_text(text)
    before = list(Client.objects.values())
    assert import_text(text)[0] == ImportResult(unchanged=2)
    assert list(Client.objects.values()) == before


def test_an_updated_client_keeps_its_id_and_its_first_moment() -> None:
    import_text("phone_number,tag\n79991234567,vip\n")
    before = Client.objects.get()
    import_text("phone_number,tag\n79991234567,new\n")
    after = Client.objects.get()
    assert (after.pk, after.created_at) == (before.pk, before.created_at)
    assert after.updated_at > before.updated_at


def test_of_rows_with_the_same_number_the_last_one_wins_and_each_is_counted() -> None:
    result, errors = import_text(
        "phone_number,tag\n79991234567,a\n+7 999 123-45-67,b\n79991234567,b\n79991234567,c\n"
    )
    assert result == ImportResult(created=1, updated=2, unchanged=1)
    assert stored() == {"79991234567": ("999", "c", "UTC")}
    assert errors == {}


def test_the_last_one_wins_across_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_SIZE", 1)
    result, _ = import_text("phone_number,tag\n79991234567,a\n79991234567,b\n79991234567,b\n")
    assert result == ImportResult(created=1, updated=1, unchanged=1)
    assert stored() == {"79991234567": ("999", "b", "UTC")}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("12,,,", "phone_number '12': '12' is not an international phone number"),
        (",,vip,", "phone_number '': '' is not an international phone number"),
        ("79991234567,MTS,,", "operator_code 'MTS': Write digits only"),
        ("79991234567,123456789,,", "operator_code '123456789': Ensure .* at most 8"),
        (f"79991234567,,{'x' * 65},", "tag 'x{40}': .*at most 64"),
        ("79991234567,,,Mars/Olympus", "timezone 'Mars/Olympus': There is no time zone"),
        ("79991234567,,,../../etc/passwd", "timezone .*There is no time zone"),
        ("79991234567,,,Europe", "timezone 'Europe': There is no time zone"),
        (f"79991234567,,,{'x' * 300}", "timezone 'x{40}': There is no time zone"),
        ("79991234567,,", "The row has 3 cells, the header 4"),
        ("79991234567,,,,", "The row has 5 cells, the header 4"),
        ('79991234567,,"vip', "A quote is missing"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_reason_and_the_others_are_kept(
    row: str, reason: str
) -> None:
    result, errors = import_text(
        "phone_number,operator_code,tag,timezone\n"
        '79990000001,,"vip\n",\n'  # two lines
        f"{row}\n"
        "79990000002,,,UTC\n"
    )
    assert result == ImportResult(created=2, bad=1)
    assert list(errors) == [4]
    assert re.match(reason, errors[4])
    assert set(stored()) == {"79990000001", "79990000002"}


def test_everything_that_is_wrong_with_a_row_is_told_at_once_in_one_line() -> None:
    _, errors = import_text("phone_number,tag,timezone\n\x1b[31m,vip,Mars\n")
    assert re.match(r"phone_number '\\x1b\[31m': .* timezone 'Mars': ", errors[2])
    assert errors[2].isprintable()


def test_a_row_that_is_not_utf_8_is_its_own_error() -> None:
    result, errors = import_text(
        b"phone_number,tag\n79990000001,\xea\xee\xf2\n79990000002,\xd0\xba\xd0\xbe\xd1\x82\n"
    )
    assert result == ImportResult(created=1, bad=1)
    assert "not UTF-8" in errors[2]
    assert stored() == {"79990000002": ("999", "кот", "UTC")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "The file is empty"),
        (b"\n\n", "The file is empty"),
        (b"tag,timezone\nvip,UTC\n", "There is no column phone_number"),
        (b"phone_number,name,tag,e-mail\n", "unknown columns: 'name', 'e-mail'"),
        (b"phone_number,tag,\n", "unknown columns: ''"),
        (b"79991234567,vip\n79991234568,new\n", "unknown columns: '79991234567', 'vip'"),
        (b"phone_number,tag,Tag\n", "A column is there twice: phone_number, tag, tag"),
        ("phone_number,tag\n79991234567,vip\n".encode("utf-16"), "not UTF-8 text"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\xa6\xd6", "not UTF-8 text"),
        (b"phone_number,tag" + b"x" * 3_000, "longer than 2000 characters"),
        (b'phone_number,"tag\n', "quote is missing"),
    ],
)
def test_a_file_of_something_else_is_one_error_that_says_what_belongs_there(
    text: bytes, reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason) as refusal:
        import_text(text)
    assert "phone_number and any of operator_code, tag, timezone" in refusal.value.messages[0]
    assert not Client.objects.exists()


def test_a_file_with_only_a_header_imports_nothing() -> None:
    assert import_text("phone_number,tag") == (ImportResult(), {})


def test_progress_is_told_in_bytes_while_the_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_SIZE", 500)
    content = many_rows(5_000).encode()
    steps: list[int] = []
    import_clients(io.BytesIO(content), on_error=not_expected, on_progress=steps.append)
    assert len(steps) == 10
    assert steps == sorted(steps)
    assert steps[0] < len(content) / 2
    assert steps[-1] == len(content)


@pytest.mark.django_db(transaction=True)
def test_an_import_that_is_cut_short_leaves_whole_batches_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importing, "BATCH_SIZE", 500)
    content = many_rows(5_000).encode()

    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > len(content) / 2:
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is gone"):
        import_clients(Torn(content), on_error=not_expected)
    connection.close()  # what is not committed goes with it
    imported = Client.objects.count()
    assert 0 < imported < 5_000
    assert imported % 500 == 0
    result = import_clients(io.BytesIO(content), on_error=not_expected)
    assert result == ImportResult(created=5_000 - imported, unchanged=imported)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_messages_to_a_client_can_be_planned_while_an_import_changes_it() -> None:
    import_text("phone_number,tag\n79991234567,vip\n")
    planner = connection.copy()
    try:
        with transaction.atomic():
            import_text("phone_number,tag\n79991234567,new\n")
            with planner.cursor() as cursor:  # the lock that a row takes which refers to another
                cursor.execute("SELECT 1 FROM clients_client FOR KEY SHARE NOWAIT")
                assert cursor.fetchall() == [(1,)]
    finally:
        planner.close()


def test_a_batch_takes_one_query_and_one_for_history(
    django_assert_num_queries: Iterator[None],
) -> None:
    # And two for a savepoint, because every test is a transaction.
    with django_assert_num_queries(2 + 2):  # type: ignore[operator]  # pytest-django has no type
        import_text(many_rows(1_000))


def test_the_sample_imports_without_an_error_and_changes_nothing_the_second_time() -> None:
    content = SAMPLE.read_bytes()
    assert import_text(content) == (ImportResult(created=2_000), {})
    assert import_text(content) == (ImportResult(unchanged=2_000), {})
    codes, tags, zones = map(set, zip(*stored().values(), strict=True))
    assert {"901", "916", "921", "926", "999"} <= codes
    assert {"", "vip", "new", "regular", "delivery", "newsletter"} == tags
    assert {"Europe/Kaliningrad", "Asia/Vladivostok", "Asia/Almaty", "Europe/Berlin"} <= zones


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=70)
numbers = st.one_of(
    st.sampled_from(["79991234567", "+7 999 123-45-67", "49180", "12125550123", "7" * 16]),
    st.text("+0123456789 -", max_size=20),
)
zones = st.sampled_from(
    ["", "UTC", "Europe/Moscow", "Asia/Omsk", "utc", "Mars/Olympus", "Mo\nscow"]
)


@many_examples
@given(numbers, st.one_of(st.text("0123456789", max_size=10), cells), cells, zones)
def test_a_row_is_accepted_exactly_when_the_model_accepts_it_and_with_its_values(
    number: str, code: str, tag: str, zone: str
) -> None:
    Client.objects.all().delete()
    number, code, tag, zone = (cell.strip() for cell in (number, code, tag, zone))
    text = io.StringIO()
    csv.writer(text).writerow((number or "x", code, tag, zone))
    result, errors = import_text(f"phone_number,operator_code,tag,timezone\n{text.getvalue()}")
    try:
        client = Client(phone_number=number, operator_code=code, tag=tag, timezone=zone or "UTC")
        client.full_clean(validate_unique=False)
    except ValidationError:
        assert (result, len(errors)) == (ImportResult(bad=1), 1)
    else:
        assert result == ImportResult(created=1)
        saved = Client.objects.get()
        for field in ("phone_number", "operator_code", "tag", "timezone"):
            assert getattr(saved, field) == getattr(client, field)
        assert isinstance(saved.timezone, ZoneInfo)


headers = st.sampled_from([b"phone_number,tag\n", b"phone_number;timezone\r\n", b"phone_number\r"])
lines = st.one_of(
    st.sampled_from([b"79991234567,vip\n", b"7999123456", b",", b";", b"\n", b"\r\n", b"UTC"]),
    st.sampled_from([b'"', b'""', b"\0", b"\xff", b"\xef\xbb\xbf", b"x" * 3_000]),
    st.binary(max_size=10),
)
files = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda header, parts: header + b"".join(parts), headers, st.lists(lines)),
)


@many_examples
@given(files)
def test_any_bytes_give_one_clear_error_or_an_account_of_every_row(content: bytes) -> None:
    try:
        result, errors = import_text(content)
    except ValidationError:
        return
    rows = list(CsvRows(io.BytesIO(content)))[1:]
    assert result.created + result.updated + result.unchanged + result.bad == len(rows)
    assert result.bad == len(errors)
    assert all(errors.values())
    assert set(errors) <= {row.line for row in rows}
