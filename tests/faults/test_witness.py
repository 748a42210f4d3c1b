"""The witness itself: it must see each thing that can be wrong."""

from dataclasses import asdict

import pytest

from tests.faults.witness import Row, Send, compare

pytestmark = pytest.mark.faults

SENT = Send(is_accepted=True, id=1, phone="79000000001", at=0.0)
ROW = Row(id=1, phone="79000000001", status="success")


def test_two_accounts_that_agree_differ_in_nothing() -> None:
    assert set(asdict(compare([SENT], [ROW])).values()) == {0}


@pytest.mark.parametrize(
    ("finding", "sends", "rows"),
    [
        ("unknown", [SENT, SENT._replace(id=2)], [ROW]),
        ("misaddressed", [SENT._replace(phone="79000000002")], [ROW]),
        ("unsent", [], [ROW]),
        ("twice", [SENT, SENT], [ROW]),
        ("lost", [], [ROW._replace(status="pending")]),
        ("dropped", [SENT, SENT._replace(is_accepted=False)], [ROW]),
        ("unrecorded", [SENT], [ROW._replace(status="fail")]),
    ],
)
def test_whatever_differs_is_found(finding: str, sends: list[Send], rows: list[Row]) -> None:
    findings = asdict(compare(sends, rows))
    assert findings == {**dict.fromkeys(findings, 0), finding: 1}
