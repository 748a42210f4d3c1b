"""`manage.py renew_secrets`: encrypts what is stored with the present SECRET_KEY."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webhooks.services import renew_secrets


class Command(BaseCommand):
    """Encrypt the secrets of webhooks anew, so that former keys are needed no more."""

    help = (
        "Encrypt the secrets of webhooks with the present SECRET_KEY, so that "
        "SECRET_KEY_FALLBACKS can be emptied. Exit code: 0 when all could be read."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Encrypt them, and name those that cannot be read."""
        renewed, unreadable = renew_secrets()
        self.stdout.write(f"Secrets of {renewed} webhooks are encrypted with the present key.")
        if unreadable:
            raise CommandError(
                f"Those of these webhooks cannot be read: {', '.join(map(str, unreadable))}. Name "
                "the key of before in SECRET_KEY_FALLBACKS and repeat this, or rotate them."
            )
