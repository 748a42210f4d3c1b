"""Why a client got a mailing, will get it, or will not."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Attempt, Message, SendingControl, Withdrawal
from tests.rest import iso

Make = Callable[..., Any]
HOUR = timedelta(hours=1)


@pytest.fixture
def client(make_clients: Callable[..., list[Client]], db: None) -> Client:
    """Save a client with a tag, in Moscow."""
    return make_clients(1, tag="vip", timezone="Europe/Moscow")[0]


def ask(api: APIClient, mailing: Mailing, client: Client) -> dict[str, Any]:
    answer = api.get(f"/api/v1/mailings/{mailing.pk}/clients/{client.pk}/")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def broken(body: dict[str, Any]) -> dict[str, str]:
    """Return {rule that does not hold: why}."""
    return {rule["rule"]: rule["detail"] for rule in body["rules"] if not rule["holds"]}


def test_a_client_who_is_planned_and_due_will_be_sent_to_now(
    api: APIClient, client: Client, make_mailing: Make, make_message: Make, now: datetime
) -> None:
    mailing = make_mailing(filters={"tag": ["vip", "new"]}, last_run_time=now)
    message = make_message(mailing=mailing, client=client)

    body = ask(api, mailing, client)

    assert (body["verdict"], broken(body)) == ("will_be_sent", {})
    assert body["message"] == api.get(f"/api/v1/messages/{message.pk}/").json()
    assert body["attempts"] == []
    assert iso(now) <= body["next"] < iso(now + HOUR)
    (tag,) = (rule for rule in body["rules"] if rule["rule"] == "tag")
    assert tag["detail"] == "The client's tag is 'vip'; the filters ask for 'vip' or 'new'."


def test_each_filter_is_a_rule_of_its_own(
    api: APIClient, client: Client, make_mailing: Make
) -> None:
    mailing = make_mailing(
        filters={"tag": "new", "operator_code": "999", "timezone": ["Asia/Omsk"]}
    )

    body = ask(api, mailing, client)

    assert (body["verdict"], body["message"], body["next"]) == ("will_not_be_sent", None, None)
    assert set(broken(body)) == {"tag", "timezone", "planned"}


def test_filters_do_not_count_for_who_was_added_by_hand(
    api: APIClient, client: Client, make_mailing: Make, make_message: Make
) -> None:
    mailing = make_mailing(filters={"tag": "new"})
    make_message(mailing=mailing, client=client, is_manual=True)

    assert ask(api, mailing, client)["verdict"] == "will_be_sent"


def test_what_was_accepted_is_sent_whatever_holds_now(
    api: APIClient, client: Client, make_mailing: Make, make_message: Make, now: datetime
) -> None:
    mailing = make_mailing(filters={"tag": "new"}, status="cancelled")
    message = make_message(
        mailing=mailing, client=client, status="success", next_attempt_at=None, sent_at=now
    )
    for number in (1, 2):
        Attempt.objects.create(message=message, number=number, error_code="", error="")

    body = ask(api, mailing, client)

    assert (body["verdict"], body["next"]) == ("sent", None)
    assert [attempt["number"] for attempt in body["attempts"]] == [1, 2]


def test_a_final_failure_and_a_message_on_its_way_are_told_apart(
    api: APIClient, client: Client, make_mailing: Make, make_message: Make, now: datetime
) -> None:
    mailing = make_mailing()
    message = make_message(
        mailing=mailing, client=client, status="fail", error_code="rejected", next_attempt_at=None
    )
    assert ask(api, mailing, client)["verdict"] == "failed"

    Message.objects.filter(pk=message.pk).update(next_attempt_at=now, lease_until=now + HOUR)
    assert ask(api, mailing, client)["verdict"] == "in_flight"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"status": "paused"}, "mailing_not_paused"),
        ({"is_paused": True}, "sending_not_paused"),
        ({"opened_at": True, "reason": "HTTP 503"}, "breaker_closed"),
        ({"held_until": True}, "sending_not_held"),
    ],
)
def test_what_somebody_has_to_let_go_on_is_held(
    api: APIClient,
    client: Client,
    make_mailing: Make,
    make_message: Make,
    now: datetime,
    change: dict[str, Any],
    rule: str,
) -> None:
    mailing = make_mailing(**({"status": "paused"} if "status" in change else {}))
    make_message(mailing=mailing, client=client)
    if "status" not in change:
        row = {
            name: now + HOUR if value is True and name.endswith(("_at", "_until")) else value
            for name, value in change.items()
        }
        SendingControl.objects.filter(pk=1).update(**row)

    body = ask(api, mailing, client)

    assert (body["verdict"], body["next"]) == ("held", None)
    assert set(broken(body)) == {rule}


def test_a_draft_waits_for_its_launch(
    api: APIClient, client: Client, make_mailing: Make, now: datetime
) -> None:
    body = ask(api, make_mailing(status="draft"), client)

    assert (body["verdict"], body["next"]) == ("held", None)
    assert set(broken(body)) == {"launched", "planned", "started"}


def test_what_is_left_for_later_says_when(
    api: APIClient, client: Client, make_mailing: Make, make_message: Make, now: datetime
) -> None:
    mailing = make_mailing()
    due_at = now + timedelta(minutes=7)
    make_message(
        mailing=mailing,
        client=client,
        status="fail",
        error_code="throttled",
        attempts=1,
        next_attempt_at=due_at,
    )

    body = ask(api, mailing, client)

    assert (body["verdict"], body["next"]) == ("will_be_sent", iso(due_at))
    assert set(broken(body)) == {"due"}


def test_hours_are_those_of_the_clients_zone_and_may_come_too_late(
    api: APIClient, client: Client, make_mailing: Make, now: datetime
) -> None:
    moscow = now + 3 * HOUR
    opens, shuts = (moscow + timedelta(minutes=m) for m in (30, 40))
    window = {
        "window_start": time(opens.hour, opens.minute),
        "window_end": time(shuts.hour, shuts.minute),
    }
    soon = make_mailing(**window)
    late = make_mailing(**window, stop_time=now + timedelta(minutes=20))

    body = ask(api, soon, client)
    assert body["verdict"] == "will_be_sent"
    assert body["next"][:16] == iso(opens - 3 * HOUR)[:16]
    assert "in Europe/Moscow" in broken(body)["window_open"]
    body = ask(api, late, client)
    assert body["verdict"] == "will_not_be_sent"
    assert {"window_open", "time_left"} <= set(broken(body))


def test_a_mailing_to_come_and_one_that_is_over(
    api: APIClient, client: Client, make_mailing: Make, now: datetime
) -> None:
    starts = now + HOUR
    coming = make_mailing(status="scheduled", start_time=starts, stop_time=starts + HOUR)
    over = make_mailing(start_time=now - 2 * HOUR, stop_time=now - HOUR)

    body = ask(api, coming, client)
    assert (body["verdict"], body["next"]) == ("will_be_sent", iso(starts))
    assert set(broken(body)) == {"planned", "started"}
    body = ask(api, over, client)
    assert body["verdict"] == "will_not_be_sent"
    assert "not_over" in broken(body)


def test_who_was_withdrawn_or_had_it_under_a_deleted_client_gets_nothing(
    api: APIClient, client: Client, make_mailing: Make, make_message: Make
) -> None:
    withdrawn, reached = make_mailing(), make_mailing()
    Withdrawal.objects.create(mailing=withdrawn, client=client)
    make_message(mailing=reached, client=None, phone_number=client.phone_number)

    assert "not_withdrawn" in broken(ask(api, withdrawn, client))
    body = ask(api, reached, client)
    assert body["verdict"] == "will_not_be_sent"
    assert "number_not_reached_before" in broken(body)


def test_who_did_not_fail_is_not_among_those_who_are_sent_to_again(
    api: APIClient, client: Client, make_mailing: Make, make_message: Make
) -> None:
    original = make_mailing(status="finished")
    failed = {"status": "fail", "next_attempt_at": None, "error_code": "rejected"}
    make_message(mailing=original, client=client, **failed)
    same, other = (
        make_mailing(resends=original, resent_codes=codes) for codes in (None, ["unconfirmed"])
    )

    assert ask(api, same, client)["verdict"] == "will_be_sent"
    body = ask(api, other, client)
    assert (body["verdict"], "failed_before" in broken(body)) == ("will_not_be_sent", True)


def test_of_nobody_and_of_no_mailing_there_is_nothing_to_say(
    api: APIClient, client: Client, make_mailing: Make
) -> None:
    mailing = make_mailing()

    for path in (f"{mailing.pk}/clients/999999999", f"999999999/clients/{client.pk}"):
        assert api.get(f"/api/v1/mailings/{path}/").status_code == 404
