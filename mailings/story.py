"""The story of one client: every message that any mailing had for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from clients.models import Client
from mailings.models import FormerText
from messages_app.models import Message

PAGE = 25  # messages


@dataclass(frozen=True)
class Chapter:
    """A message, with the text that it went out with; before it has, the mailing's."""

    message: Message
    text: str


@dataclass(frozen=True)
class Story:
    """A page of a client's messages, the newest first; `older` is where the next page begins."""

    chapters: list[Chapter]
    number: int
    older: int | None


def story_of(client: Client, *, before: int | None = None) -> Story:
    """Return the messages of a client, those with ids below `before`.

    All ids are read, by the index of clients, and sorted here: a client has one message of a
    mailing at most, and for the newest of few the database might read all messages backwards.
    """
    theirs = Message.objects.filter(client=client).of_present_mailings().order_by()
    pks = sorted(theirs.values_list("pk", flat=True), reverse=True)
    rest = [pk for pk in pks if before is None or pk < before]
    page = Message.objects.filter(pk__in=rest[:PAGE]).select_related("mailing").order_by("-pk")
    messages = list(page)
    older = messages[-1].pk if messages and len(rest) > PAGE else None
    return Story(_with_texts(messages), len(pks), older)


def _with_texts(messages: Sequence[Message]) -> list[Chapter]:
    """Return messages with the texts that were sent, in one query for those replaced since."""
    kept = FormerText.objects.filter(mailing__in={message.mailing_id for message in messages})
    former = {(each.mailing_id, each.version): each.text for each in kept}
    return [
        Chapter(
            message,
            former.get(
                (message.mailing_id, (message.text_version if message.attempts else None) or 0),
                message.mailing.text,
            ),
        )
        for message in messages
    ]
