"""The console's list of messages, read along an index: no filter makes it read a whole table.

Numbers come from the ledger. A page looks at so many messages at most; where few of them meet the
filters it may be short, and lead on to older ones all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.http import HttpRequest
from unfold.views import ChangeList

from messages_app.ledger.accounts import FAIL, RETRY, Account
from messages_app.ledger.balances import Balances, balances, total_balances
from messages_app.models import Message, Standing
from messages_app.stats import standing
from messages_app.walks import leg_of_failures, legs_of_mailing
from toolkit.console.lists import as_id
from toolkit.rest.walking import Leg, Place, Walk, plain_leg

AT = "at"  # the parameter that says where a page begins
REACHES = 10  # times that so many messages are looked at (`walking.PAGE_REACH`) for one page
COUNTED = {"mailing", "standing", "status__exact", "error_code"}  # the ledger counts by these
OF_FAILED = {Standing.RETRIED, Standing.FAILED, Standing.UNKNOWN}


class WalkedPages(Paginator):  # type: ignore[type-arg]  # generic only in its stubs
    """One page of a list that is walked; the number of all rows is known beforehand."""

    template_name = "admin/messages_app/message/pages.html"
    is_capped = False
    newest = older = ""

    def __init__(self, number: int, per_page: int) -> None:
        super().__init__([], per_page)
        self.count = number


@dataclass(frozen=True)
class Wanted:
    """Which messages a list shows, by the parameters of its address."""

    mailing: int | None
    standing: str
    status: str
    error_code: str

    @property
    def have_failed(self) -> bool:
        """Whether only failed messages are wanted."""
        return bool(self.error_code) or self.status == FAIL or self.standing in OF_FAILED

    def includes(self, account: Account) -> bool:
        """Tell whether messages on an account are wanted."""
        return (
            (not self.standing or standing(account) == self.standing)
            and (not self.status or account.status == self.status)
            and (not self.error_code or account.error_code == self.error_code)
        )

    def count(self, found: Balances) -> int:
        """Return how many messages are wanted, of those that balances count."""
        return max(0, sum(number for account, number in found.items() if self.includes(account)))


class WalkedChangeList(ChangeList):
    """The list of messages. What is searched, or of one client, is few, and read as ever."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Return the parameters that are filters."""
        found: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name != AT}

    def get_results(self, request: HttpRequest) -> None:
        """Read the page that the address asks for."""
        wanted = self._wanted(request.GET)
        if wanted is None:
            super().get_results(request)
            return
        ledger = total_balances()
        of_it = balances([wanted.mailing]).get(wanted.mailing, {}) if wanted.mailing else ledger
        rows, older = self._read(_legs(wanted, ledger, of_it), request.GET.get(AT, ""))
        # The ledger may not have yet what an earlier version has left.
        self._show(rows, older, max(wanted.count(of_it), len(rows)), request)

    def _read(self, legs: Sequence[Leg], at: str) -> tuple[list[Message], str]:
        """Return the rows of a page, and where the next one begins; "" if there is none."""
        walk, place = Walk(self.queryset, legs), _place(at, legs)
        limit: int = self.list_per_page
        steps: list[tuple[Message, Place]] = []
        for _ in range(REACHES):
            found = walk.read(limit + 1 - len(steps), start=place, is_backward=False)
            steps += found.steps
            place = found.up_to
            if place is None or len(steps) > limit:
                break
        following = steps[limit - 1][1] if len(steps) > limit else place
        return [row for row, _ in steps[:limit]], _text(following)

    def _wanted(self, parameters: Mapping[str, str]) -> Wanted | None:
        """Return what is wanted; None where few rows are found in another way."""
        named = {name for name, value in parameters.items() if value and name not in (AT, "p")}
        if not named <= COUNTED:
            return None
        mailing = parameters.get("mailing", "")
        if mailing and not as_id(mailing):
            return None
        return Wanted(
            as_id(mailing) if mailing else None,
            parameters.get("standing", ""),
            parameters.get("status__exact", ""),
            parameters.get("error_code", ""),
        )

    def _show(self, rows: list[Message], older: str, number: int, request: HttpRequest) -> None:
        pages = WalkedPages(number, self.list_per_page)
        is_first = AT not in request.GET
        pages.newest = "" if is_first else self.get_query_string(remove=[AT, "p"])
        pages.older = self.get_query_string({AT: older}, remove=["p"]) if older else ""
        self.result_list, self.result_count, self.paginator = rows, number, pages
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True


def _legs(wanted: Wanted, ledger: Balances, of_mailing: Balances) -> Sequence[Leg]:
    """Return the way that leads past the fewest messages."""
    failed = sum(n for account, n in ledger.items() if account.state in (RETRY, FAIL))
    of_it = sum(of_mailing.values())
    if wanted.have_failed and (not wanted.mailing or failed < of_it):
        return [leg_of_failures()]
    return list(legs_of_mailing(wanted.mailing)) if wanted.mailing else [plain_leg()]


def _place(text: str, legs: Sequence[Leg]) -> Place | None:
    """Return the place that a text names; None is the beginning.

    Raises:
        IncorrectLookupParameters: it is no place in these legs.
    """
    if not text:
        return None
    key, _, value = text.partition(":")
    if key not in {leg.key for leg in legs} or (value and not as_id(value)):
        raise IncorrectLookupParameters
    return Place(key, as_id(value) if value else None)


def _text(place: Place | None) -> str:
    return f"{place.key}:{place.value or ''}" if place else ""
