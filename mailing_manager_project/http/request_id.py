"""X-Request-Id: in, out, and in every line of the log between."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from toolkit import request_ids

Answer = Callable[[HttpRequest], HttpResponse]


def name_requests(get_response: Answer) -> Answer:
    """Return the middleware that names a request. The outermost, so that errors are named too."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request_id = request_ids.begin(request.headers.get(request_ids.HEADER, ""))
        response = get_response(request)
        response[request_ids.HEADER] = request_id
        return response

    return middleware
