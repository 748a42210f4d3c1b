"""Wiring: settings, the Celery application, addresses. No domain code lives here."""

from mailing_manager_project.celery import app as celery_app

__all__ = ["celery_app"]
