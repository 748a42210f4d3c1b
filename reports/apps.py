"""The app of reports."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Reports: the letters that tell what was sent."""

    name = "reports"
