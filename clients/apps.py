"""Clients: who can be reached."""

from django.apps import AppConfig


class ClientsConfig(AppConfig):
    """The clients app."""

    name = "clients"
