"""Safe retries as a Django app, because the answers that were given are kept in a table."""

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """The app of safe retries."""

    name = "toolkit.rest.idempotency"
    label = "idempotency"
