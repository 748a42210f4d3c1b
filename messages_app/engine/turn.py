"""The turn of one mailing in a delivery: its lease, its spool, and what came of its messages."""

from datetime import datetime

from messages_app.engine.records import Bell, Claimed, Outcome
from messages_app.engine.spool import Spool
from messages_app.mailing_snapshot import MailingSnapshot
from messages_app.models import Lease


class Turn:
    """What a delivery holds of one mailing, under a lease and in a spool file of its own.

    `mailing` is as the last look found it. `sent` and `outcomes` are answers that are not in the
    database yet, `to_release` the ids of claimed messages that are not to be sent any more.
    """

    def __init__(self, bell: Bell, lease: Lease, mailing: MailingSnapshot) -> None:
        """Open the spool file.

        Raises:
            OSError: it cannot be written.
        """
        self.bell = bell
        self.lease = lease
        self.mailing = mailing
        self.spool = Spool(lease.token, mailing.id, mailing.made_at)
        self.claim_at = 0.0  # of `monotonic`; not earlier
        self.held = 0  # claimed messages that are neither recorded nor released
        self.sent: list[Claimed] = []
        self.outcomes: list[Outcome] = []
        self.to_release: list[int] = []
        self.shut: dict[str, datetime] = {}  # {time zone: when its window, found shut, opens}
        self._spooled = (0, 0)  # of `sent` and `outcomes`

    def shut_zones(self, now: datetime) -> dict[str, datetime]:
        """Return {time zone: when the window opens}, of zones in which it was found shut."""
        return {zone: opens_at for zone, opens_at in self.shut.items() if opens_at > now}

    def spool_answers(self, at: datetime) -> None:
        """Write the answers into the spool that are not in it yet; they were received at `at`.

        Raises:
            OSError: they are not written down.
        """
        sent, outcomes = self._spooled
        ids = [message.id for message in self.sent[sent:]]
        self.spool.answer(ids, self.outcomes[outcomes:], at)
        self._spooled = (len(self.sent), len(self.outcomes))

    def forget_recorded(self) -> None:
        """Forget the answers, because they are in the database, and what was released."""
        self.held -= len(self.sent) + len(self.outcomes) + len(self.to_release)
        self.sent, self.outcomes, self.to_release = [], [], []
        self._spooled = (0, 0)
