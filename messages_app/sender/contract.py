"""How a message is written for the sender (docs/sender-api.md): path, headers and body.

What comes back is read in `answers`. Another sender would differ in these two files.
"""

from typing import NamedTuple

CONTENT_TYPE = "application/json"


class Request(NamedTuple):
    """One message as the sender takes it. `text` is already a JSON string, quotes included."""

    id: int
    phone_number: str
    text: str

    @property
    def path(self) -> str:
        """Where it is posted, below MESSAGE_SENDER_URL."""
        return f"/send/{self.id}"

    @property
    def body(self) -> str:
        """The JSON object that is posted."""
        return f'{{"id": {self.id}, "phone": {self.phone_number}, "text": {self.text}}}'


def authorization(token: str) -> str:
    """Return the value of the Authorization header."""
    return f"Bearer {token}"
