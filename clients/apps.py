"""Clients: who can be reached."""

from django.apps import AppConfig


class ClientsConfig(AppConfig):
    """The room of the people and numbers a mailing can reach."""

    name = "clients"
