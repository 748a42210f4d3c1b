"""The witness itself: it must see each thing that can be wrong."""

from dataclasses import asdict

import pytest

from messages_app.sender_ids import sender_id
from tests.faults.witness import Row, Send, compare, known_as

pytestmark = pytest.mark.faults

SENT = Send(is_accepted=True, id=1, phone="79000000001", at=0.0)
ROW = Row(id=1, phone="79000000001", status="success")


def test_two_accounts_that_agree_differ_in_nothing() -> None:
    assert set(asdict(compare([SENT], [ROW])).values()) == {0}


@pytest.mark.parametrize(
    ("finding", "sends", "rows"),
    [
        ("unknown", [SENT, SENT._replace(id=2, phone="79000000002")], [ROW]),
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


def test_a_number_that_is_sent_to_under_two_ids_is_found() -> None:
    renamed = [SENT, SENT._replace(id=2)]
    assert compare(renamed, [ROW]).renamed == 1
    assert compare(renamed, [ROW, ROW._replace(id=2)]).renamed == 0


def test_the_sender_knows_messages_by_the_documented_id() -> None:
    for key in (None, 0, 1, 2**63 - 1):
        ours = known_as(key, 5, "79991234567")
        assert ours == sender_id(key, message_id=5, phone_number="79991234567")
