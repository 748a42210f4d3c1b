"""Mailings: what is sent, to whom, from when to when."""

from django.apps import AppConfig


class MailingsConfig(AppConfig):
    """The mailings app."""

    name = "mailings"
