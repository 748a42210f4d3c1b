"""How the list of messages is narrowed: by exact values, because there are millions."""

from clients.admin.lists import ExactFilter


class MailingFilter(ExactFilter):
    """Messages of one mailing."""

    title = "mailing (its id)"
    parameter_name = "mailing"


class ClientFilter(ExactFilter):
    """Messages to one client."""

    title = "client (its id)"
    parameter_name = "client"


class ErrorCodeFilter(ExactFilter):
    """Messages that failed for one reason."""

    title = "error code"
    parameter_name = "error_code"
