"""Endpoints that belong to no app: the health check, and unknown addresses."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from health_check.views import HealthCheckView
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView


class Health(HealthCheckView):
    """Tells anybody whether the database answers, in the format asked for."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer in the format that the Accept header names; 406 if the header is malformed."""
        try:
            answer: HttpResponse = await super().get(request, *args, **kwargs)
        except ValueError:
            return HttpResponse(status=406)
        return answer


class NoSuchAddress(APIView):
    """Answers 404 in the API's error format, and never redirects, which would lose the body."""

    schema = None
    permission_classes = (IsAuthenticated,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse every method.

        Raises:
            NotFound: always, for somebody who is logged in.
        """
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address. Addresses end with a slash.")
