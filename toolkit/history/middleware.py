"""Notes for each request who sent it, for whatever it changes."""

from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, HttpResponse

from toolkit.history.actors import Door, acting, actor_of


class ActorMiddleware:
    """Has everything that a request changes done by whoever sent it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request. Who sent it is asked later: REST does not know it yet."""
        door = Door.REST if request.path.startswith("/api/") else Door.CONSOLE
        with acting(partial(actor_of, request, door)):
            return self.get_response(request)
