"""Mailings in rows, in the list and on the first page: what is so, and how far they have come."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.urls import reverse
from django.utils.safestring import SafeString

from mailings.admin import labels
from mailings.admin.counts import bar
from mailings.admin.headline import Headline, headline
from mailings.models import Mailing
from mailings.progress import Progress, progress_of
from messages_app.admin.now import SendingNow
from toolkit.console.labels import label
from toolkit.console.live import Live


class Row(NamedTuple):
    """A mailing, how far it has come, and its headline."""

    mailing: Mailing
    progress: Progress
    said: Headline

    @property
    def state(self) -> SafeString:
        """What is so of it, as a coloured label."""
        return label(self.said.word, self.said.colour)

    @property
    def bar(self) -> SafeString:
        """Its counts."""
        return bar(self.progress)

    @property
    def in_full(self) -> dict[str, Any]:
        """All that the first page says of it."""
        return {
            "pk": self.mailing.pk,
            "text": labels.excerpt(self.mailing.text, 90),
            "state": self.state,
            "audience": labels.audience(self.mailing),
            "said": self.said,
            "bar": self.bar,
        }


def rows_of(mailings: Sequence[Mailing], sending: SendingNow) -> list[Row]:
    """Return mailings as rows, in as many queries as one."""
    found = progress_of(mailings, sending.control, now=sending.now)
    return [
        Row(mailing, progress, headline(mailing, progress, sending))
        for mailing, (progress, _) in zip(mailings, found, strict=True)
    ]


def live_rows(rows: Sequence[Row], banner: Mapping[str, SafeString]) -> Live:
    """Return what of the rows of a list is kept up to date."""
    parts = dict(banner)
    for row in rows:
        parts[f"state-{row.mailing.pk}"] = row.state
        parts[f"progress-{row.mailing.pk}"] = row.bar
    open_ones = [str(row.mailing.pk) for row in rows if not row.mailing.is_closed]
    address = f"{reverse('admin:mailings_mailing_rows')}?ids={','.join(open_ones)}"
    return Live(parts, address=address if open_ones else "")
