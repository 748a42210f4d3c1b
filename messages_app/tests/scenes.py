"""What tests of the engine do as the tasks of the room above do it."""

from functools import partial

from mailings.services import read_running
from messages_app.engine import pump


def deliver(mailing_id: int) -> int:
    """Deliver a mailing's due messages, as send_message does."""
    return pump.deliver(mailing_id, partial(read_running, mailing_id))
