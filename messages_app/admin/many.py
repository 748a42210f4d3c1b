"""What can be done at once to all messages that the console's list finds, however many they are.

Whoever does it is asked first, by the pages of mailings: what is done is noted with these, and the
tasks do it step by step.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from messages_app.models import ErrorCode, Standing
from toolkit.console.lists import as_id

MAY_RESEND = ("mailings.change_mailing", "mailings.launch_mailing")
MAY_CONFIRM = ("mailings.view_mailing", "messages_app.confirm_message")
# By these the pages of mailings find the same messages; by others a list finds few.
KNOWN = {"mailing", "standing", "status__exact", "error_code"}
UNKNOWN = str(ErrorCode.UNCONFIRMED)


def deeds_for(request: HttpRequest) -> list[tuple[str, str]]:
    """Return (address, what it says) of what somebody may do to all that the list finds."""
    given = {name: str(value) for name, value in request.GET.items() if value}
    if given.keys() - {*KNOWN, "p", "at"} or given.get("status__exact", "fail") != "fail":
        return []
    return list(_deeds(request, given))


def _deeds(request: HttpRequest, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    codes = _reasons(given)
    if codes is None:
        return
    mailing = as_id(given.get("mailing", ""))
    if request.user.has_perms(MAY_RESEND):
        query = urlencode([("error_code", code) for code in codes])
        yield f"{_page('resend', mailing)}?{query}", _("Send all that is found again…")
    if codes == [UNKNOWN] and request.user.has_perms(MAY_CONFIRM):
        yield _page("confirm", mailing), _("All that is found has arrived…")


def _reasons(given: Mapping[str, str]) -> list[str] | None:
    """Return for which reasons those have failed that are found: none of them is any.

    None, where nothing that is found has failed for good.
    """
    standing, code = given.get("standing", ""), given.get("error_code", "")
    others = [each for each in ErrorCode.values if each != UNKNOWN]
    by_standing = {"": [], Standing.FAILED: others, Standing.UNKNOWN: [UNKNOWN]}
    if standing not in by_standing or not (standing or code or given.get("status__exact")):
        return None
    found = by_standing[standing]
    if not code:
        return found
    return None if found and code not in found else [code]


def _page(deed: str, mailing: int | None) -> str:
    if mailing:
        return reverse(f"admin:mailings_mailing_{deed}", args=[mailing])
    return reverse(f"admin:mailings_mailing_{deed}_all")
