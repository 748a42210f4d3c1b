"""A mail server for tests: a real one, on a free port, that keeps what it is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from pytest_django import Settings

from tests.servers import free_port


class Kept(Message):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    def handle_message(self, message: Any) -> None:
        """Keep a message."""
        self.messages.append(message)


@contextmanager
def running_mail_server(settings: Settings) -> Iterator[list[Any]]:
    """Run a mail server, and have Django send to it; yield the messages that it was sent."""
    kept = Kept()
    server = Controller(kept, hostname="127.0.0.1", port=free_port())
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    try:
        yield kept.messages
    finally:
        server.stop()
