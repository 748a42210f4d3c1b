"""A whole day of a program that calls us, with the client that is generated from the document.

Imported only where that client has been generated (test_python_client.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic, sleep
from typing import Any, TypeVar

from mailing_manager_client import AuthenticatedClient
from mailing_manager_client.api.clients import clients_create, clients_partial_update
from mailing_manager_client.api.mailings import (
    mailings_cancel_create,
    mailings_create,
    mailings_partial_update,
    mailings_pause_create,
    mailings_resend_create,
    mailings_resume_create,
    mailings_retrieve,
    mailings_stats_retrieve,
)
from mailing_manager_client.api.messages import (
    messages_attempts_list,
    messages_changes_retrieve,
    messages_list,
)
from mailing_manager_client.models import (
    ChangedResponse,
    ChangePage,
    Client,
    ClientRequest,
    ConflictResponse,
    DetailedStats,
    ErrorResponse401,
    ErrorResponse404,
    KeyReusedResponse,
    Mailing,
    MailingRequest,
    MailingRequestFilters,
    MailingStatusEnum,
    MessageErrorCodeEnum,
    MessagesListStatusItem,
    PaginatedAttemptList,
    PaginatedMessageList,
    PatchedClientRequest,
    PatchedMailingRequest,
    ResendRequest,
    Resent,
    ValidationErrorResponse,
)

CLIENTS = 6
PATIENCE = 60  # seconds
Kind = TypeVar("Kind")


def an(answer: Any, kind: type[Kind]) -> Kind:
    """Return what was answered, which must be of this kind."""
    assert isinstance(answer.parsed, kind), answer
    return answer.parsed


@contextmanager
def beginning_day(url: str, token: str) -> Iterator["Day"]:
    """Connect for the length of a with block."""
    connect = partial(
        AuthenticatedClient, url, prefix="Token", timeout=PATIENCE, raise_on_unexpected_status=True
    )
    with connect(token=token) as api, connect(token="nonsense") as stranger:
        yield Day(api, stranger)


class Day:
    """What a program does from morning to evening."""

    def __init__(self, api: Any, stranger: Any) -> None:
        self.api = api
        self.stranger = stranger  # somebody with a token that there is not

    def add_clients(self) -> None:
        """Add clients, one of them twice by mistake and one once more on purpose."""
        for number in range(CLIENTS):
            body = ClientRequest(f"+7999000000{number}", tag="vip", timezone="Europe/Moscow")
            key = f"client-{number}"
            first = clients_create.sync_detailed(client=self.api, body=body, idempotency_key=key)
            again = clients_create.sync_detailed(client=self.api, body=body, idempotency_key=key)
            assert an(first, Client) == an(again, Client)
            assert again.headers["Idempotent-Replayed"] == "true"
        body.tag = "another"
        other = clients_create.sync_detailed(client=self.api, body=body, idempotency_key=key)
        assert an(other, KeyReusedResponse).errors[0].code == "idempotency_key_reused"
        taken = an(clients_create.sync_detailed(client=self.api, body=body), ConflictResponse)
        assert (taken.errors[0].code, taken.errors[0].id) == ("phone_number_taken", first.parsed.id)

    def change_one_field(self) -> None:
        """Change a tag, and leave everything else as it is."""
        body = ClientRequest("+79990000009", timezone="Asia/Tokyo")
        added = an(clients_create.sync_detailed(client=self.api, body=body), Client)
        change = PatchedClientRequest(tag="new")
        answer = clients_partial_update.sync_detailed(added.id, client=self.api, body=change)
        changed = an(answer, Client)
        assert (changed.tag, changed.timezone) == ("new", "Asia/Tokyo")

    def start_mailing(self, *, begin: timedelta = timedelta()) -> Mailing:
        """Create a mailing to all VIPs, for an hour."""
        start = datetime.now(UTC) + begin
        filters = MailingRequestFilters(tag="vip")
        body = MailingRequest(start, start + timedelta(hours=1), "Good morning", filters)
        return an(mailings_create.sync_detailed(client=self.api, body=body), Mailing)

    def wait_for_progress(self, mailing: Mailing, is_so: Callable[[Any], bool]) -> DetailedStats:
        """Ask how far a mailing is until it is so far."""
        deadline = monotonic() + PATIENCE
        while True:
            answer = mailings_stats_retrieve.sync_detailed(mailing.id, client=self.api)
            stats = an(answer, DetailedStats)
            if is_so(stats):
                return stats
            assert monotonic() < deadline, stats
            sleep(0.1)

    def look_at_failures(self, mailing: Mailing) -> None:
        """See who was not reached, and what the sender said."""
        stats = self.wait_for_progress(mailing, lambda stats: stats.stats.fail == CLIENTS)
        assert stats.error_codes.additional_properties == {"rejected": CLIENTS}
        answer = messages_list.sync_detailed(
            client=self.api, mailing=[mailing.id], status=[MessagesListStatusItem.FAIL]
        )
        failed = an(answer, PaginatedMessageList).results
        assert [message.error_code for message in failed] == [
            MessageErrorCodeEnum.REJECTED
        ] * CLIENTS
        attempts = messages_attempts_list.sync_detailed(failed[0].id, client=self.api)
        assert [each.http_status for each in an(attempts, PaginatedAttemptList).results] == [400]

    def resend(self, mailing: Mailing) -> None:
        """Send again to those, now that the sender takes them."""
        body = ResendRequest(error_code=[MessageErrorCodeEnum.REJECTED])
        answer = mailings_resend_create.sync_detailed(mailing.id, client=self.api, body=body)
        assert an(answer, Resent).messages == CLIENTS
        self.wait_for_progress(mailing, lambda stats: stats.stats.success == CLIENTS)

    def read_feed(self, mailing: Mailing) -> None:
        """Follow what became of every message, from the beginning."""
        last: dict[int, Any] = {}
        for change in self._changes():
            if change.mailing == mailing.id:
                last[change.client] = change.status
        assert [status.value for status in last.values()] == ["success"] * CLIENTS

    def _changes(self) -> Iterator[Any]:
        """Yield all changes, page by page; small pages, so that there are some."""
        page = an(messages_changes_retrieve.sync_detailed(client=self.api, page_size=5), ChangePage)
        yield from page.results
        while page.has_more:
            answer = messages_changes_retrieve.sync_detailed(
                client=self.api, after=page.next_, page_size=5
            )
            page = an(answer, ChangePage)
            yield from page.results

    def pause_and_resume(self, mailing: Mailing) -> None:
        """Hold a mailing, and let it go on."""
        paused = mailings_pause_create.sync_detailed(mailing.id, client=self.api)
        assert an(paused, Mailing).status is MailingStatusEnum.PAUSED
        resumed = mailings_resume_create.sync_detailed(mailing.id, client=self.api)
        assert an(resumed, Mailing).status is MailingStatusEnum.RUNNING

    def edit_beside_somebody_else(self) -> Mailing:
        """Change the text that was read, and nothing over somebody else's change."""
        mailing = self.start_mailing(begin=timedelta(hours=1))
        seen = mailings_retrieve.sync_detailed(mailing.id, client=self.api)
        etag = seen.headers["ETag"]
        for text, kind in (("Theirs", Mailing), ("Ours", ChangedResponse)):
            answer = mailings_partial_update.sync_detailed(
                mailing.id, client=self.api, body=PatchedMailingRequest(text=text), if_match=etag
            )
            an(answer, kind)
        now = mailings_retrieve.sync_detailed(mailing.id, client=self.api)
        assert an(now, Mailing).text == "Theirs"
        return mailing

    def cancel(self, mailing: Mailing) -> None:
        """Call it off; that is for good."""
        for _ in range(2):
            answer = mailings_cancel_create.sync_detailed(mailing.id, client=self.api)
            assert an(answer, Mailing).status is MailingStatusEnum.CANCELLED
        refused = mailings_resume_create.sync_detailed(mailing.id, client=self.api)
        assert an(refused, ConflictResponse).errors[0].code == "mailing_cancelled"

    def make_mistakes(self) -> None:
        """Be told what was wrong, in objects of a type for each kind."""
        an(mailings_retrieve.sync_detailed(1, client=self.stranger), ErrorResponse401)
        an(mailings_retrieve.sync_detailed(987_654, client=self.api), ErrorResponse404)
        body = ClientRequest("no number")
        refused = clients_create.sync_detailed(client=self.api, body=body)
        (error,) = an(refused, ValidationErrorResponse).errors
        assert error.attr == "phone_number"
