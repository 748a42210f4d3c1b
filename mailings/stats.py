"""Counts of mailings' messages, from the ledger."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Exists, OuterRef, Q, Sum

from mailings.models import Mailing
from mailings.querysets import MailingQuerySet
from messages_app.ledger import counting
from messages_app.ledger.accounts import FAIL, PENDING, RETRY, SUCCESS, Account
from messages_app.ledger.balances import Balances, balances, total_balances
from messages_app.models import Balance, Posting
from messages_app.stats import by_error_code, by_status, complete_counts

UNKNOWN_ZONE = "unknown"  # of messages that an earlier version planned

ByTimezone = Mapping[str, Mapping[str, int]]  # messages by the client's zone and by status


def mailing_stats(mailings: Iterable[Mailing]) -> list[dict[str, object]]:
    """Return each mailing with its messages by status."""
    mailings = list(mailings)
    found = balances_of(mailings)
    return [_stats(mailing, found[mailing.pk]) for mailing in mailings]


def detailed_stats(mailing: Mailing) -> dict[str, object]:
    """Return one mailing with its messages by status, reason, text version and time zone.

    Zones with most messages come first. All numbers come from one reading of the ledger, so that
    they add up while messages are being sent.
    """
    return details(mailing, balances_of([mailing])[mailing.pk])


def details(mailing: Mailing, found: Balances) -> dict[str, object]:
    """Return the same of a mailing whose balances were read."""
    # A mailing that an earlier version closed has them stored; its messages do not say them.
    zones = mailing.timezone_counts or _by_timezone(found)
    by_size = sorted(zones.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return {
        **_stats(mailing, found),
        "error_codes": by_error_code(found),
        "text_versions": _by_text_version(found),
        "timezones": {zone: complete_counts(counts) for zone, counts in by_size},
    }


def text_versions(mailing: Mailing) -> list[dict[str, object]]:
    """Return the texts that a mailing has had, with how many messages each was accepted with."""
    sent = _by_text_version(balances_of([mailing])[mailing.pk])
    former = mailing.former_texts.order_by("version")
    texts = [
        *former.values_list("version", "text", "replaced_at"),
        (mailing.text_version, mailing.text, None),
    ]
    return [
        {"version": version, "text": text, "replaced_at": at, "accepted": sent.get(version, 0)}
        for version, text, at in texts
    ]


def text_change(mailing: Mailing) -> dict[str, int]:
    """Return how many messages went out with former texts, and how many are to get this one."""
    found = balances_of([mailing])[mailing.pk]
    numbers: Counter[str] = Counter()
    for account, number in found.items():
        if account.state in (PENDING, RETRY):
            numbers["get_new_text"] += number
        elif account.state == SUCCESS and account.text_version < mailing.text_version:
            numbers["had_former_text"] += number
    return {name: numbers[name] for name in ("had_former_text", "get_new_text")}


def count_of(mailing: Mailing) -> int:
    """Return how many messages a mailing has."""
    return sum(balances_of([mailing])[mailing.pk].values())


def balances_of(mailings: Sequence[Mailing]) -> dict[int, Balances]:
    """Return {mailing's id: its messages by account}.

    They come from the ledger. Of a mailing that an earlier version has made or changed, and
    that the ledger does not have yet, they are its final counts, or are counted now.
    """
    found = balances([mailing.pk for mailing in mailings if mailing.ledger_at])
    outside = [mailing for mailing in mailings if not mailing.ledger_at]
    found |= counting.count([mailing.pk for mailing in outside if not mailing.is_closed])
    found |= {mailing.pk: _final(mailing) for mailing in outside if mailing.is_closed}
    return {mailing.pk: found.get(mailing.pk, {}) for mailing in mailings}


def totals() -> dict[str, int]:
    """Return the messages of all mailings by status, with "total"."""
    numbers = Counter(by_status(total_balances()))
    outside = Mailing.objects.filter(ledger_at=None).order_by()
    if outside.exists():
        _add_outside(numbers, outside)
    return complete_counts(numbers)


def _add_outside(numbers: Counter[str], outside: MailingQuerySet) -> None:
    """Add the messages of mailings that the ledger has only some changes of, or none."""
    known = balances(list(outside.values_list("pk", flat=True)))
    counted = counting.count(list(outside.open().values_list("pk", flat=True)))
    for of_mailing in known.values():
        numbers.subtract(by_status(of_mailing))
    for of_mailing in counted.values():
        numbers.update(by_status(of_mailing))
    final = {"success": Sum("success_count", default=0), "fail": Sum("fail_count", default=0)}
    numbers.update(outside.closed().aggregate(**final))


def _stats(mailing: Mailing, found: Balances) -> dict[str, object]:
    return {
        "id": mailing.pk,
        "status": mailing.status,
        "start_time": mailing.start_time,
        "stop_time": mailing.stop_time,
        "last_run_time": mailing.last_run_time,
        "stats": complete_counts(by_status(found)),
        "retrying": sum(number for account, number in found.items() if account.state == RETRY),
        "is_complete": is_complete(mailing, found),
    }


def is_complete(mailing: Mailing, found: Balances) -> bool:
    """Tell whether all there is to send now is sent, given a mailing's balances.

    New clients whom its filters select may still come while it runs.
    """
    return mailing.is_closed or (mailing.is_looked_through and not _is_left(found))


def may_be_incomplete() -> Q:
    """Return a condition on mailings: something may be left to send; `is_complete` tells exactly.

    It reads the ledger. What is not folded yet counts as something.
    """
    mine = {"mailing_id": OuterRef("pk")}
    states = Q(account__startswith=f"{PENDING}|") | Q(account__startswith=f"{RETRY}|")
    looked_through = Q(
        last_run_time__isnull=False, planned_up_to=0, deferred_up_to=None, failed_up_to=None
    )
    return (
        ~looked_through
        | Q(ledger_at=None)
        | Q(Exists(Balance.objects.filter(states, **mine, number__gt=0)))
        | Q(Exists(Posting.objects.filter(**mine, position=None)))
    )


def is_unfinished(mailing: Mailing) -> bool:
    """Tell whether a mailing has messages that are still to be sent or on their way."""
    return _is_left(balances_of([mailing])[mailing.pk])


def _is_left(found: Balances) -> bool:
    return sum(n for account, n in found.items() if account.state in (PENDING, RETRY)) > 0


def _final(mailing: Mailing) -> Balances:
    """Return the final counts of a closed mailing as balances."""
    numbers = {SUCCESS: mailing.success_count, FAIL: mailing.fail_count}
    return {Account(state, "", 0, ""): number for state, number in numbers.items() if number}


def _by_timezone(found: Balances) -> dict[str, Counter[str]]:
    zones: dict[str, Counter[str]] = {}
    for account, number in found.items():
        zones.setdefault(account.timezone or UNKNOWN_ZONE, Counter())[account.status] += number
    return zones


def _by_text_version(found: Balances) -> dict[int, int]:
    """Return {version of the text: messages that the sender accepted with it}."""
    versions: Counter[int] = Counter()
    for account, number in found.items():
        if account.state == SUCCESS:
            versions[account.text_version] += number
    return dict(sorted(versions.items()))
