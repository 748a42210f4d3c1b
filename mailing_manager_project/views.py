"""Endpoints of no room: what to say of the program's health, and of addresses that are none."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from health_check.views import HealthCheckView
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView


class Health(HealthCheckView):
    """Says whether the database answers, to anybody and in many formats."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer in the format asked for; 406 where the request for one cannot be read."""
        try:
            answer: HttpResponse = await super().get(request, *args, **kwargs)
        except ValueError:
            return HttpResponse(status=406)
        return answer


class NoSuchAddress(APIView):
    """Answers in the one error format, and never redirects: a redirect would lose the body."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse every method.

        Raises:
            NotFound: always, for somebody who is logged in.
        """
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address. Addresses end with a slash.")
