"""Many callers of the REST API at once, while mailings are sent: how long each waits."""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import count
from typing import NamedTuple

import pycurl
from django.contrib.auth.models import User
from django.db.models import Max
from knox.models import AuthToken

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Message
from messages_app.sending import control


class Request(NamedTuple):
    """One request to the REST API."""

    path: str
    method: str = "GET"
    body: dict[str, str] | None = None


def load(url: str, number: int, connections: int, rate: int) -> dict[str, list[float]]:
    """Send `number` requests of each kind over `connections`; return the seconds each took.

    The programs must be running; meanwhile `rate` messages a second are sent.
    """
    control.change(rate=rate)
    _, token = AuthToken.objects.create(User.objects.get(username="bench"))
    found = {}
    with ThreadPoolExecutor(connections) as pool:
        for name, make in [*_kinds().items()] * 2:  # once more, when everything is warm
            shares = [[make() for _ in range(number // connections)] for _ in range(connections)]
            took = pool.map(lambda share: _ask(url, token, share), shares)
            found[name] = [seconds for share in took for seconds in share]
    return found


def _kinds() -> dict[str, Callable[[], Request]]:
    """Return {kind: a function that makes a request of it}, of another row each time."""
    chance = random.Random(1)  # the same rows each time
    numbers = count(79_500_000_000)  # that no client has yet
    last = {each: each.objects.aggregate(Max("pk"))["pk__max"] for each in (Client, Message)}
    mailings = list(Mailing.objects.values_list("pk", flat=True))

    def row(model: type[Client] | type[Message]) -> int:
        return chance.randint(1, last[model])

    def new_client() -> Request:
        return Request("clients/", "POST", {"phone_number": str(next(numbers))})

    def new_tag() -> Request:
        return Request(f"clients/{row(Client)}/", "PATCH", {"tag": f"tag{chance.randrange(5)}"})

    return {
        "GET clients/{id}/": lambda: Request(f"clients/{row(Client)}/"),
        "GET messages/{id}/": lambda: Request(f"messages/{row(Message)}/"),
        "GET mailings/{id}/": lambda: Request(f"mailings/{chance.choice(mailings)}/"),
        "GET clients/": lambda: Request("clients/"),
        "GET clients/ of a tag": lambda: Request(f"clients/?tag=tag{chance.randrange(5)}"),
        "GET messages/ of a mailing": lambda: Request(
            f"messages/?mailing={chance.choice(mailings)}"
        ),
        "GET messages/ of a client": lambda: Request(f"messages/?client={row(Client)}"),
        "GET mailings/": lambda: Request("mailings/"),
        "GET clients/stats/": lambda: Request("clients/stats/"),
        "GET mailings/stats/": lambda: Request("mailings/stats/"),
        "GET mailings/{id}/stats/": lambda: Request(f"mailings/{chance.choice(mailings)}/stats/"),
        "GET clients/count/": lambda: Request("clients/count/"),
        "GET messages/count/ that failed": lambda: Request("messages/count/?status=fail"),
        "POST clients/": new_client,
        "PATCH clients/{id}/": new_tag,
    }


def _ask(url: str, token: str, requests: Sequence[Request]) -> list[float]:
    """Send requests over one connection, one after the other; return the seconds of each."""
    curl, took = pycurl.Curl(), []
    curl.setopt(pycurl.NOPROXY, "*")
    for request in requests:
        answer = BytesIO()
        curl.setopt(pycurl.URL, f"{url}/api/v1/{request.path}")
        curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        curl.setopt(
            pycurl.HTTPHEADER, [f"Authorization: Token {token}", "Content-Type: application/json"]
        )
        if request.body:
            curl.setopt(pycurl.POSTFIELDS, json.dumps(request.body))
        curl.setopt(pycurl.WRITEDATA, answer)
        curl.perform()
        if curl.getinfo(pycurl.RESPONSE_CODE) >= 400:
            raise RuntimeError(f"{request.path} answered {answer.getvalue()[:300]!r}")
        took.append(float(curl.getinfo(pycurl.TOTAL_TIME)))
    curl.close()
    return took
