"""The request that hands a message to the sender (docs/sender-api.md): path, headers and body.

Answers are classified in `answers`. For a sender with another contract, change these two files.
"""

from typing import NamedTuple

CONTENT_TYPE = "application/json"


class Request(NamedTuple):
    """One message for the sender, which knows it by its `sender_id`; `id` is for us.

    `text` is a JSON string already, quotes included. `request_id` names the request of ours that it
    is sent for, if there was one; many messages share it.
    """

    id: int
    sender_id: int
    phone_number: str
    text: str
    request_id: str = ""

    @property
    def path(self) -> str:
        """The path that it is posted to, below MESSAGE_SENDER_URL."""
        return f"/send/{self.sender_id}"

    @property
    def body(self) -> str:
        """The JSON object that is posted."""
        return f'{{"id": {self.sender_id}, "phone": {self.phone_number}, "text": {self.text}}}'


def headers(request: Request) -> dict[str, str]:
    """Return the headers that differ from request to request.

    Not X-Request-Id: whoever takes that for the name of one message would drop all others.
    """
    return {"X-Correlation-Id": request.request_id} if request.request_id else {}


def authorization(token: str) -> str:
    """Return the value of the Authorization header."""
    return f"Bearer {token}"
