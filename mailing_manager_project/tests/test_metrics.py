"""The metrics: right, explained, and for nobody who may not have them."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client as Browser
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.metrics.collector import PREFIX, Collector
from mailings import services
from mailings.models import Mailing
from messages_app.ledger import folding
from messages_app.models import Doorbell, Heartbeat, Lease, Pulse, SendingControl
from messages_app.sending import pulse
from messages_app.tests.scenes import accept, claim_ids
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
Values = dict[tuple[str, ...], float]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TOKEN = "the-token-of-prometheus"


def read() -> dict[str, Values]:
    """Return {name without prefix: {values of its labels: value}}, histograms' parts apart."""
    found: dict[str, Values] = {}
    for family in Collector().collect():
        for sample in family.samples:
            name = sample.name.removeprefix(f"{PREFIX}_")
            found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def allowed(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN


class TestAccess:
    def test_there_are_none_until_somebody_may_read_them(self, client: Browser) -> None:
        assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer ").status_code == 404

    @pytest.mark.usefixtures("allowed")
    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", f"Token {TOKEN}", "Bearer é"])
    def test_they_are_not_for_strangers(self, header: str, client: Browser) -> None:
        answer = client.get("/metrics", HTTP_AUTHORIZATION=header)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
        assert PREFIX not in answer.text

    @pytest.mark.usefixtures("allowed")
    def test_they_are_for_whoever_has_the_token(self, client: Browser) -> None:
        answer = client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/plain; version=")
        names = {family.name for family in text_string_to_metric_families(answer.text)}
        assert f"{PREFIX}_lag_seconds" in names

    @pytest.mark.usefixtures("allowed")
    def test_they_come_as_openmetrics_where_that_is_asked_for(self, client: Browser) -> None:
        accept = "application/openmetrics-text; version=1.0.0"
        answer = client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}", HTTP_ACCEPT=accept)
        assert answer["Content-Type"].startswith("application/openmetrics-text")
        parse: Any = openmetrics.text_string_to_metric_families  # which has no types
        assert list(parse(answer.text))

    @pytest.mark.parametrize(
        ("address", "status"),
        [("10.1.2.3", 200), ("11.1.2.3", 401), ("2001:db8::7", 200), ("2001:db8:1::7", 401)],
    )
    def test_some_addresses_need_no_token(
        self, address: str, status: int, client: Browser, settings: Settings
    ) -> None:
        settings.METRICS_ALLOW = _networks("10.0.0.0/8, 2001:db8::1")
        assert client.get("/metrics", REMOTE_ADDR=address).status_code == status

    def test_what_an_unknown_proxy_hands_on_is_not_the_proxys(
        self, client: Browser, settings: Settings
    ) -> None:
        settings.METRICS_ALLOW = _networks("127.0.0.1")
        assert client.get("/metrics", HTTP_X_FORWARDED_FOR="127.0.0.1").status_code == 401
        settings.TRUSTED_PROXIES = 1
        assert client.get("/metrics", HTTP_X_FORWARDED_FOR="8.8.8.8").status_code == 401
        assert client.get("/metrics", HTTP_X_FORWARDED_FOR="127.0.0.1").status_code == 200

    @pytest.mark.usefixtures("allowed")
    def test_without_a_database_they_are_a_503(
        self, client: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object) -> None:
            raise OperationalError("connection refused")

        monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", fail)
        answer = client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
        assert answer.status_code == 503


def _networks(text: str) -> Any:
    """Return what the setting METRICS_ALLOW would be."""
    from mailing_manager_project.environment import read_networks

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICS_ALLOW", text)
        return read_networks("METRICS_ALLOW")


class TestValues:
    def test_messages_are_counted_by_outcome_and_reason(
        self, make_mailing: Make, make_message: Make, now: datetime
    ) -> None:
        mailing = make_mailing()
        for _ in range(3):
            make_message(mailing=mailing)
        accept(claim_ids(mailing, now, limit=1), at=now)
        over = {"status": "fail", "next_attempt_at": None, "attempts": 1}
        make_message(mailing=mailing, error_code="rejected", **over)
        make_message(mailing=mailing, error_code="unconfirmed", **over)
        folding.fold_all()

        found = read()

        assert found["messages_total"] == {
            ("pending", ""): 3,
            ("success", ""): 1,
            ("fail", "rejected"): 1,
            ("fail", "unconfirmed"): 1,
        }
        assert found["messages_now"] == {
            ("sent", ""): 1,
            ("waiting", ""): 2,
            ("retried", ""): 0,
            ("failed", ""): 0,
            ("failed", "rejected"): 1,
            ("unknown", ""): 0,
            ("unknown", "unconfirmed"): 1,
        }
        assert found["pending"] == {(): 2}

    def test_counters_do_not_shrink_when_a_mailing_is_deleted(
        self, make_mailing: Make, make_message: Make, now: datetime
    ) -> None:
        mailing = make_mailing(status="paused")
        make_message(mailing=mailing)
        folding.fold_all()
        before = read()
        services.delete_mailing(mailing, now=now)
        after = read()
        assert after["messages_total"] == before["messages_total"] == {("pending", ""): 1}
        assert (before["pending"], after["pending"]) == ({(): 1}, {(): 0})

    def test_the_lag_is_that_of_what_could_be_sent(
        self, make_mailing: Make, make_message: Make, now: datetime
    ) -> None:
        late = {"next_attempt_at": now - 10 * MINUTE}
        assert read()["lag_seconds"] == {(): 0}
        make_message(mailing=make_mailing(status="paused"), **late)
        window = {"window_start": (now + HOUR).time(), "window_end": (now + 2 * HOUR).time()}
        make_message(mailing=make_mailing(**window), **late)
        make_message(mailing=make_mailing(), next_attempt_at=now + HOUR)
        assert read()["lag_seconds"] == {(): 0}
        make_message(mailing=make_mailing(), next_attempt_at=now - 5 * MINUTE)
        make_message(mailing=make_mailing(), **late)
        assert 600 <= read()["lag_seconds"][()] < 660

    def test_each_mailing_that_is_sent_has_its_own(
        self, make_mailing: Make, make_message: Make, now: datetime
    ) -> None:
        mailing: Mailing = make_mailing(last_run_time=now)
        make_message(mailing=mailing)
        make_mailing(status="draft")

        found = read()

        of = (str(mailing.pk),)
        assert found["mailing_pending"] == {of: 1}
        assert found["mailing_rate"] == {of: 0}
        assert found["mailing_late"] == {of: 0}
        assert found["mailing_stop_timestamp_seconds"] == {of: mailing.stop_time.timestamp()}
        assert found["mailings"] == {
            ("draft",): 1,
            ("scheduled",): 0,
            ("running",): 1,
            ("paused",): 0,
            ("finished",): 0,
            ("cancelled",): 0,
        }

    def test_tells_what_holds_sending_back(self, now: datetime, settings: Settings) -> None:
        settings.MESSAGE_SENDER_RATE = None
        assert "rate_limit" not in read()
        SendingControl.objects.update(
            is_paused=True,
            opened_at=now,
            rate=5,
            failures=20,
            held_until=now + HOUR,
        )
        found = read()
        for name in ("sending_paused", "breaker_open", "sending_held"):
            assert found[name] == {(): 1}
        assert (found["rate_limit"], found["failures_in_a_row"]) == ({(): 5}, {(): 20})

    def test_tells_of_workers_whichever_process_is_asked(
        self, make_mailing: Make, now: datetime
    ) -> None:
        Heartbeat.objects.create(name="beat", at=now - 10 * MINUTE)
        mailing = make_mailing()
        Lease.objects.create(mailing=mailing, token=-1, expires_at=now - MINUTE)
        Lease.objects.create(mailing=mailing, token=-2, expires_at=now + HOUR)
        for lane, (answered, minutes) in enumerate([(False, 60), (True, 60), (True, -1)]):
            until = now + minutes * MINUTE
            Doorbell.objects.create(
                mailing=mailing, lane=lane, is_answered=answered, expires_at=until
            )
        for name, files in (("one/1", 9), ("one/2", 3), ("two/1", 4)):
            at = now - MINUTE / (files + 1)
            Pulse.objects.create(
                name=name, at=at, open_requests=10, spool_files=files, free_bytes=1000 * files
            )
        pulse.note(pulse.LEASE_RECLAIMED)
        pulse.note(pulse.LEASE_RECLAIMED)

        found = read()

        ((part, age),) = found["heartbeat_age_seconds"].items()
        assert part == ("beat",)
        assert 600 <= age < 660
        assert found["doorbells"] == {("waiting",): 1, ("answered",): 1, ("expired",): 1}
        assert found["leases"] == {("held",): 1, ("expired",): 1}
        assert found["leases_reclaimed_total"] == {(): 2}
        assert found["spools_replayed_total"] == {(): 0}
        assert found["spool_files"] == {("one",): 9, ("two",): 4}
        assert found["spool_free_bytes"] == {("one",): 9000, ("two",): 4000}

    def test_answers_are_a_histogram_that_only_grows(self, now: datetime) -> None:
        tally = pulse.Tally()
        for seconds in (0.05, 0.05, 3.0):
            tally.add(seconds)
        tally.save(2, now=now)

        found = read()

        assert found["in_flight"] == {(): 2}
        assert found["answer_seconds_count"] == {(): 3}
        assert found["answer_seconds_sum"][()] == pytest.approx(3.1, rel=0.125)
        buckets = {float(le): number for (le,), number in found["answer_seconds_bucket"].items()}
        numbers = [buckets[le] for le in sorted(buckets)]
        assert numbers == sorted(numbers)
        assert max(number for le, number in buckets.items() if le < 0.04) == 0
        assert min(number for le, number in buckets.items() if le > 0.1) == 2
        assert buckets[float("inf")] == 3
        pulse.drop_old(now=now + 2 * HOUR)
        assert read()["answer_seconds_bucket"] == found["answer_seconds_bucket"]
        pulse.drop_old(now=now + 2 * HOUR)
        assert read()["answer_seconds_bucket"] == found["answer_seconds_bucket"]

    def test_tells_of_other_work(self, now: datetime) -> None:
        events = ["mailing.started"]
        Webhook.objects.create(url="https://a.example", events=events)
        Webhook.objects.create(url="https://b.example", events=events, failing_since=now)
        found = read()
        assert found["webhooks"] == {("active",): 1, ("failing",): 1, ("disabled",): 0}
        assert found["backlog"] == {("imports",): 0, ("changes of clients",): 0, ("webhooks",): 0}
        assert found["backlog_age_seconds"][("imports",)] == 0


def test_every_metric_is_explained_and_nothing_else_is() -> None:
    documented = re.findall(
        r"^\| `([a-z_]+)(?:\{([a-z,]+)\})?` \|",
        (BASE_DIR / "docs" / "metrics.md").read_text(),
        re.MULTILINE,
    )
    families = list(Collector().collect())
    assert all(family.documentation for family in families)
    assert sorted(documented) == sorted(_name_and_labels(family) for family in families)


def _name_and_labels(family: Any) -> tuple[str, str]:
    name = family.name.removeprefix(f"{PREFIX}_")
    suffix = "_total" if family.type == "counter" else ""
    return name + suffix, ",".join(family._labelnames)
