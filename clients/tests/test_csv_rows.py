"""CSV files are read whoever wrote them, and damage costs only its own rows."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.imports.csv_rows import ROW_LIMIT, CsvRows, Row

damaged_lines = st.one_of(
    st.text('ab,"\t; \0', max_size=20).map(str.encode),
    st.binary(max_size=20).filter(lambda line: not set(line) & set(b"\r\n")),
    st.just(b"x" * (ROW_LIMIT + 1)),
)


def read(content: bytes) -> list[Row]:
    return list(CsvRows(BytesIO(content)))


def cells(content: bytes) -> list[list[str]]:
    return [row.cells for row in read(content)]


@pytest.mark.parametrize("separator", [b",", b";", b"\t"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_separators_line_ends_and_a_byte_order_mark_make_no_difference(
    separator: bytes, line_end: bytes, mark: bytes
) -> None:
    lines = [separator.join(row) for row in ([b"a", b"b"], [b'"1"', b" 2 "], [b"3", b'"4"'])]
    content = mark + line_end.join(lines)
    expected = [Row(1, ["a", "b"]), Row(2, ["1", "2"]), Row(3, ["3", "4"])]
    assert read(content) == read(content + line_end) == expected


def test_the_separator_is_that_of_the_header_so_others_may_stand_in_cells() -> None:
    assert cells(b"a;b\n1,5;x\ty\n") == [["a", "b"], ["1,5", "x\ty"]]


def test_a_quoted_cell_may_hold_separators_quotes_and_line_ends() -> None:
    assert read(b'a,b\n"1,\n2", "say ""hi"""\n3,4\n')[1:] == [
        Row(2, ["1,\n2", 'say "hi"']),
        Row(4, ["3", "4"]),
    ]


def test_empty_lines_and_rows_of_empty_cells_are_skipped_but_counted_as_lines() -> None:
    assert read(b"\n \n\na,b\n\n1,2\n , \n3,4\n") == [
        Row(4, ["a", "b"]),
        Row(6, ["1", "2"]),
        Row(8, ["3", "4"]),
    ]


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_rows(content: bytes) -> None:
    assert read(content) == []


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b'1,"2', "quote"),
        (b'1,"2"3', "quote"),
        (b"1,\xff", "UTF-8"),
        (b"1,\xed\xb0\x80", "UTF-8"),  # a lone surrogate
        ("1,кот".encode("cp1251"), "UTF-8"),
        (b"1,\0", "UTF-8"),
        (b"1," + b"2" * ROW_LIMIT, "longer than 2000"),
        (b"1," + b"2" * 1_000_000, "longer than 2000"),
    ],
)
def test_a_damaged_row_is_told_with_its_line_and_the_next_rows_are_read(
    damaged: bytes, reason: str
) -> None:
    rows = read(b"a,b\n" + damaged + b"\n3,4\n5,6\n")
    assert rows[0] == Row(1, ["a", "b"])
    assert (rows[1].line, rows[1].cells) == (2, [])
    assert reason in rows[1].problem
    assert rows[2:] == [Row(3, ["3", "4"]), Row(4, ["5", "6"])]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest() -> None:
    good = b"3,4\n" * 2_000
    rows = read(b'a,b\n1,"2\n' + good)
    assert [row.line for row in rows] == list(range(1, 2_003))
    assert [row.line for row in rows if row.problem] == [2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_unicode_encoding_is_told_in_the_header(encoding: str) -> None:
    assert "UTF-8" in read("a,b\n1,2\n".encode(encoding))[0].problem


@given(damaged_lines, st.integers(0, 3))
def test_whatever_one_line_holds_the_other_rows_are_kept(damaged: bytes, place: int) -> None:
    lines = [b"%d,good" % number for number in range(3)]
    lines.insert(place, damaged)
    rows = read(b"\n".join([b"a,b", *lines]))
    good = [row for row in rows if row.cells[1:] == ["good"]]
    assert [row.cells[0] for row in good] == ["0", "1", "2"]
    assert [row.line for row in good] == [n for n in range(2, 6) if n != place + 2]


def test_reading_stays_a_few_kilobytes_behind_the_rows() -> None:
    file = BytesIO(b"a,b\n" + b"1,2\n" * 100_000)
    rows = CsvRows(file)
    next(rows)
    assert 0 < rows.bytes_read < 50_000
    assert sum(1 for _ in rows) == 100_000
    assert rows.bytes_read == len(file.getvalue())


PIECES = st.sampled_from(
    ["a,b", "é;ß", '"', '""', "\n", "\r\n", "\r", "я" * 1_500, "\0", ",", "\n\n", '"x\ny"']
)


@settings(deadline=None)
@given(
    st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=30),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.binary(max_size=3),
)
def test_reading_can_go_on_behind_any_row(pieces: list[str], mark: bytes, damage: bytes) -> None:
    content = mark + b"".join(piece.encode(errors="ignore") for piece in pieces) + damage
    whole = CsvRows(BytesIO(content))
    all_rows, places = [], [whole.place]
    for row in whole:
        all_rows.append(row)
        places.append(whole.place)

    for read, place in enumerate(places[1:], start=1):
        assert list(CsvRows(BytesIO(content), place)) == all_rows[read:]
