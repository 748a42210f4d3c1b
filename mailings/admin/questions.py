"""What the console asks before it ends, resends or deletes mailings: with their numbers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailings import services
from mailings.admin.counts import in_words
from mailings.admin.labels import excerpt
from mailings.confirming import unconfirmed_in
from mailings.models import Mailing
from mailings.stats import balances_of, is_complete
from messages_app.models import ErrorCode, Standing
from messages_app.stats import by_standing
from toolkit.console.confirming import Question, stamp_of
from toolkit.console.labels import format_minute, join_names
from toolkit.console.numbers import number


@dataclass(frozen=True)
class Counted:
    """How the messages of some mailings stand, and a stamp of what matters of that.

    The stamp differs once somebody has changed one of them, and once one is complete or over. It is
    the same while messages go out.
    """

    numbers: Mapping[Standing, int]
    stamp: str

    @classmethod
    def of(cls, mailings: Sequence[Mailing]) -> Self:
        """Count the messages of mailings, taken together."""
        found = balances_of(mailings)
        each = [by_standing(of_one) for of_one in found.values()]
        facts = [(m.pk, m.status, m.updated_at, is_complete(m, found[m.pk])) for m in mailings]
        return cls(
            {standing: sum(numbers[standing] for numbers in each) for standing in Standing},
            stamp_of(facts),
        )

    @property
    def total(self) -> int:
        """All messages."""
        return sum(self.numbers.values())

    @property
    def unsent(self) -> int:
        """Those that are still to be sent."""
        return self.numbers[Standing.WAITING] + self.numbers[Standing.RETRIED]


def ask_to_cancel(mailing: Mailing, *, back: str) -> Question:
    """Return what is asked before a mailing is cancelled.

    Raises:
        ValidationError: it cannot be.
    """
    services.refuse_cancelling(mailing)
    counted = Counted.of([mailing])
    return Question(
        title=_("Cancel %(mailing)s for good?") % {"mailing": mailing},
        facts=facts_of_cancelling(counted),
        deed=_("Cancel it for good"),
        keep=_("Keep it"),
        back=back,
        stamp=counted.stamp,
    )


def ask_to_cancel_selected(mailings: Sequence[Mailing]) -> Question:
    """Return what is asked before mailings are cancelled; of those that cannot be, nothing."""
    counted = Counted.of([each for each in mailings if not (each.is_ended or each.is_draft)])
    of_all = {"number": number(len(mailings))}
    return Question(
        title=_("Cancel what is selected for good: %(number)s?") % of_all,
        facts=[join_names([str(each) for each in mailings]), *facts_of_cancelling(counted)],
        deed=_("Cancel %(number)s for good") % of_all,
        keep=_("Keep them"),
        stamp=counted.stamp,
    )


def facts_of_cancelling(counted: Counted) -> list[str]:
    """Return what becomes of messages whose mailings are cancelled."""
    if not counted.total:
        return [_("Nothing was sent yet, and nothing will be.")]
    text = ngettext(
        "%(number)s message has not been sent yet, and will never be.",
        "%(number)s messages have not been sent yet, and will never be.",
        counted.unsent,
    )
    on_their_way = _("What is on its way to the sender just now still arrives.")
    return [
        text % {"number": number(counted.unsent)},
        *([on_their_way] if counted.unsent else []),
        *_what_stays(counted),
    ]


def ask_to_finish(mailing: Mailing, *, back: str) -> Question:
    """Return what is asked before a mailing is finished of which all is sent.

    Raises:
        ValidationError: it cannot be.
    """
    services.refuse_ending(mailing)
    counted = Counted.of([mailing])
    return Question(
        title=_("Finish %(mailing)s now?") % {"mailing": mailing},
        facts=[
            *_what_stays(counted),
            _("Clients who match later are not sent to any more."),
        ],
        deed=_("Finish it now"),
        keep=_("Keep it"),
        back=back,
        stamp=counted.stamp,
    )


def ask_to_resend(mailing: Mailing, *, codes: Collection[str], back: str) -> Question:
    """Return what is asked before what failed is sent again: all, or by reason.

    Raises:
        ValidationError: it cannot be, or nothing has failed so.
    """
    failed = services.failed_to_resend(mailing, codes=codes)
    if not failed:
        raise ValidationError(_("Nothing like that has failed for good in it."))
    by_reason = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    until = {"time": format_minute(mailing.stop_time)}
    return Question(
        title=_("Send again what failed in %(mailing)s?") % {"mailing": mailing},
        facts=[
            told_of_resending(sum(failed.values())),
            *(f"{_reason(code)}: {number(count)}" for code, count in by_reason),
            *_maybe_twice(failed),
            _("What is not accepted by %(time)s fails again.") % until,
        ],
        deed=_("Send %(number)s again") % {"number": number(sum(failed.values()))},
        keep=_("Leave them as they are"),
        back=back,
        stamp=stamp_of(mailing.updated_at, sorted(failed)),
        is_final=False,
    )


def ask_to_confirm(mailing: Mailing, *, back: str) -> Question:
    """Return what is asked before all count as sent of which nobody knows whether they arrived.

    Raises:
        ValidationError: there are none.
    """
    count = unconfirmed_in(mailing)
    if not count:
        raise ValidationError(_("Of no message of it that is unknown."))
    return Question(
        title=_("Have all arrived of which nobody knows? %(mailing)s") % {"mailing": mailing},
        facts=[
            told_of_confirming(count),
            _("If you know that they have not, send them again instead."),
        ],
        deed=_("They have arrived: %(number)s") % {"number": number(count)},
        keep=_("Leave them as they are"),
        back=back,
        stamp=stamp_of(count),
    )


def told_of_confirming(count: int) -> str:
    """Return how many messages count as sent, on somebody's word."""
    text = ngettext(
        "%(number)s message of which nobody knew counts as sent from now on.",
        "%(number)s messages of which nobody knew count as sent from now on.",
        count,
    )
    return text % {"number": number(count)}


def ask_to_extend(mailing: Mailing, *, stop_time: datetime, back: str) -> Question:
    """Return what is asked before a mailing has more time, if that makes messages due again."""
    revived = services.revived_by_time(mailing)
    return Question(
        title=_("Send %(mailing)s for longer?") % {"mailing": mailing},
        facts=[told_of_extending(stop_time), *([told_of_resending(revived)] if revived else [])],
        deed=_("Give it more time"),
        keep=_("Keep its stop time"),
        back=back,
        stamp=stamp_of(mailing.updated_at, stop_time),
        is_final=False,
        is_needed=bool(revived),
    )


def told_of_extending(stop_time: datetime) -> str:
    """Return until when a mailing is sent."""
    return _("It is sent until %(time)s.") % {"time": format_minute(stop_time)}


def told_of_resending(count: int) -> str:
    """Return how many messages are due again."""
    text = ngettext(
        "%(number)s message that failed for good is due again.",
        "%(number)s messages that failed for good are due again.",
        count,
    )
    return text % {"number": number(count)}


def ask_to_delete(mailing: Mailing, *, back: str) -> Question:
    """Return what is asked before a mailing is deleted.

    Raises:
        ValidationError: it cannot be.
    """
    services.refuse_deleting(mailing)
    counted = Counted.of([mailing])
    return Question(
        title=_("Delete %(name)s?") % {"name": mailing},
        facts=[excerpt(mailing.text), *facts_of_deleting(counted)],
        deed=_("Delete"),
        keep=_("Keep"),
        back=back,
        stamp=counted.stamp,
    )


def facts_of_deleting(counted: Counted) -> list[str]:
    """Return what goes with mailings that are deleted, and what stays."""
    text = ngettext(
        "%(number)s message goes with it, and what is known of it: %(what)s.",
        "%(number)s messages go with it, and what is known of them: %(what)s.",
        counted.total,
    )
    goes = text % {"number": number(counted.total), "what": in_words(counted.numbers)}
    return [
        goes if counted.total else _("There are no messages of it."),
        _("Only history tells still that it was there, and who deleted it."),
    ]


def _what_stays(counted: Counted) -> Iterator[str]:
    """Yield a sentence for each way in which messages are over, where there are such."""
    sent, failed = counted.numbers[Standing.SENT], counted.numbers[Standing.FAILED]
    unknown = counted.numbers[Standing.UNKNOWN]
    if sent:
        text = ngettext(
            "%(number)s was sent, and stays sent.", "%(number)s were sent, and stay sent.", sent
        )
        yield text % {"number": number(sent)}
    if failed:
        text = ngettext(
            "%(number)s has failed for good.", "%(number)s have failed for good.", failed
        )
        yield text % {"number": number(failed)}
    if unknown:
        text = ngettext(
            "Of %(number)s nobody knows whether it arrived.",
            "Of %(number)s nobody knows whether they arrived.",
            unknown,
        )
        yield text % {"number": number(unknown)}


def _maybe_twice(failed: Mapping[str, int]) -> Iterator[str]:
    """Yield that some may get the text twice, where the sender does not drop repeats."""
    unknown = failed.get(ErrorCode.UNCONFIRMED, 0)
    if unknown and not settings.MESSAGE_SENDER_IDEMPOTENT:
        text = ngettext(
            "Of %(number)s nobody knows whether it arrived: that client may get it twice.",
            "Of %(number)s nobody knows whether they arrived: those clients may get it twice.",
            unknown,
        )
        yield text % {"number": number(unknown)}


def _reason(code: str) -> str:
    return str(ErrorCode(code).label) if code in ErrorCode else code
