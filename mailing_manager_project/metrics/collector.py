"""The metrics. All values come from the database, so that they are right whoever is asked.

Each family is yielded also while it has no value. docs/metrics.md explains every one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from django.db.models import Count
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from mailing_manager_project import backlog
from mailings.models import Mailing
from mailings.progress import MailingNow, due_since, sent_now
from messages_app.admin.now import SendingNow, look
from messages_app.ledger.balances import Balances, total_balances
from messages_app.ledger.timeline import totals_ever
from messages_app.models import Doorbell, Lease, Occurrence, Standing
from messages_app.sending import lately, pulse
from messages_app.sending.control import effective_rate, is_held_back
from messages_app.stats import by_standing, standing
from webhooks.models import Webhook

PREFIX = "mailing_manager"
BUCKET = 3  # steps of answers' times that make a bucket

Labels = Mapping[str, str]
Value = float | None


class Seen(NamedTuple):
    """What several families are made of, read once."""

    sending: SendingNow
    balances: Balances
    mailings: list[MailingNow]


class Collector:
    """Reads all metrics anew whenever it is asked, as prometheus_client wants it."""

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        sending = look()
        mailings = sent_now(sending.control, now=sending.now)
        seen = Seen(sending, total_balances(), mailings)
        for families in FAMILIES:
            yield from families(seen)


def gauge(name: str, purpose: str, value: Value = None) -> GaugeMetricFamily:
    """Return a family with one value; without any if that is not known."""
    return gauges(name, purpose, "", [("", value)])


def gauges(
    name: str, purpose: str, label: str, values: Iterable[tuple[str, Value]]
) -> GaugeMetricFamily:
    """Return a family of values, each with what its label says; None is left out."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}", purpose, labels=[label] if label else [])
    for of, value in values:
        if value is not None:
            family.add_metric([of] if label else [], float(value))
    return family


def counter(name: str, purpose: str, value: float) -> CounterMetricFamily:
    """Return a family with one number that only grows."""
    return CounterMetricFamily(f"{PREFIX}_{name}", purpose, value=value)


def _messages(seen: Seen) -> Iterator[Metric]:
    came = CounterMetricFamily(
        f"{PREFIX}_messages",
        "Messages that came to this outcome, ever.",
        labels=["outcome", "reason"],
    )
    for (state, reason), number in totals_ever().items():
        came.add_metric([state, reason], number)
    yield came
    stand = GaugeMetricFamily(
        f"{PREFIX}_messages_now",
        "Messages of all mailings that stand so now.",
        labels=["standing", "reason"],
    )
    numbers: dict[tuple[str, str], int] = {(each, ""): 0 for each in Standing.values}
    for account, number in seen.balances.items():
        key = (str(standing(account)), account.error_code)
        numbers[key] = numbers.get(key, 0) + number
    for key, number in numbers.items():
        stand.add_metric(key, number)
    yield stand


def _waiting(seen: Seen) -> Iterator[Metric]:
    left = by_standing(seen.balances)
    yield gauge(
        "pending",
        "Messages that are still to be sent, of all mailings.",
        left[Standing.WAITING] + left[Standing.RETRIED],
    )
    now = seen.sending.now
    due = (due_since(each.mailing, each.balances, now=now) for each in seen.mailings)
    lags = [(now - since).total_seconds() for since in due if since]
    yield gauge(
        "lag_seconds", "For how long the oldest message has been due.", max(lags, default=0)
    )
    yield gauge("in_flight", "Requests that are open now.", pulse.in_flight(now=now))


def _sending(seen: Seen) -> Iterator[Metric]:
    control, _, now = seen.sending
    yield gauge(
        "rate",
        "Messages a second that were accepted, in the last minute.",
        lately.rate_now(now=now),
    )
    yield gauge("rate_limit", "Messages a second that may go out.", effective_rate(control))
    yield gauge("sending_paused", "1 while somebody has stopped all sending.", control.is_paused)
    yield gauge("sending_held", "1 while this is a held copy.", is_held_back(control, now))
    yield gauge("breaker_open", "1 while the sender takes no messages.", bool(control.opened_at))
    yield gauge("failures_in_a_row", "Attempts that failed in a row.", control.failures)
    yield _answers()


def _answers() -> Metric:
    """Return how long the sender took, in buckets of BUCKET steps."""
    numbers = pulse.answers_ever()
    buckets, so_far, seconds = [], 0, 0.0
    for step in range(pulse.LAST_STEP + 1):
        typical, most = pulse.bounds(step)
        so_far += numbers.get(step, 0)
        seconds += typical * numbers.get(step, 0)
        if step % BUCKET == BUCKET - 1:
            buckets.append((f"{most:.4g}", float(so_far)))
    buckets.append(("+Inf", float(so_far)))
    family = HistogramMetricFamily(
        f"{PREFIX}_answer_seconds", "How long the sender took to answer, ever."
    )
    family.add_metric([], buckets, seconds)
    return family


def _of_mailings(seen: Seen) -> Iterator[Metric]:
    rows = Mailing.objects.order_by().values_list("status").annotate(Count("pk"))
    numbers = {**dict.fromkeys(Mailing.Status.values, 0), **dict(rows)}
    yield gauges("mailings", "Mailings.", "status", numbers.items())

    def each(name: str, purpose: str, value: Callable[[MailingNow], Value]) -> Metric:
        values = [(str(one.mailing.pk), value(one)) for one in seen.mailings]
        return gauges(f"mailing_{name}", purpose, "mailing", values)

    yield each("pending", "Messages that are still to be sent.", lambda one: one.progress.left)
    yield each("rate", "Messages a second that were accepted.", lambda one: one.progress.rate)
    yield each(
        "late", "Messages that will miss the stop time, as foreseen.", lambda one: one.progress.late
    )
    yield each(
        "stop_timestamp_seconds", "When it stops.", lambda one: one.mailing.stop_time.timestamp()
    )


def _workers(seen: Seen) -> Iterator[Metric]:
    now = seen.sending.now
    yield gauges(
        "heartbeat_age_seconds",
        "Since a part was last seen at work.",
        "part",
        [(sign.name, sign.seconds) for sign in seen.sending.signs],
    )
    waiting = Doorbell.objects.waiting(now).count()
    answered = Doorbell.objects.live(now).filter(is_answered=True).count()
    expired = Doorbell.objects.filter(expires_at__lte=now).count()
    bells = {"waiting": waiting, "answered": answered, "expired": expired}
    yield gauges("doorbells", "Tasks that send messages.", "state", bells.items())
    lost = Lease.objects.expired(now).count()
    leases = {"held": Lease.objects.count() - lost, "expired": lost}
    yield gauges("leases", "Deliveries that hold messages.", "state", leases.items())
    numbers = dict(Occurrence.objects.values_list("name", "number"))
    yield counter(
        "leases_reclaimed",
        "Deliveries whose worker did not come back.",
        numbers.get(pulse.LEASE_RECLAIMED, 0),
    )
    yield counter(
        "spools_replayed",
        "Deliveries that ended early, and whose spool was read.",
        numbers.get(pulse.SPOOL_REPLAYED, 0),
    )


def _spools(seen: Seen) -> Iterator[Metric]:
    told = pulse.spools(now=seen.sending.now)
    files = [(host, files) for host, (files, _) in told.items()]
    yield gauges("spool_files", "Files in the spool of a sending host.", "host", files)
    free = [(host, free) for host, (_, free) in told.items()]
    yield gauges("spool_free_bytes", "Room where the spool of a sending host is.", "host", free)


def _others(seen: Seen) -> Iterator[Metric]:
    now = seen.sending.now
    lines = backlog.of_others()
    numbers = [(line.name, line.number) for line in lines]
    yield gauges("backlog", "Other work that waits.", "kind", numbers)
    ages = [
        (line.name, (now - line.since).total_seconds() if line.since else 0.0) for line in lines
    ]
    yield gauges("backlog_age_seconds", "For how long the oldest of it waits.", "kind", ages)
    present = Webhook.objects.present()
    states = {
        "active": present.filter(is_active=True, failing_since=None).count(),
        "failing": present.filter(is_active=True).exclude(failing_since=None).count(),
        "disabled": present.filter(is_active=False).exclude(disabled_at=None).count(),
    }
    yield gauges("webhooks", "Webhooks.", "state", states.items())


FAMILIES: tuple[Callable[[Seen], Iterator[Metric]], ...] = (
    *(_messages, _waiting, _sending, _of_mailings, _workers, _spools, _others),
)
