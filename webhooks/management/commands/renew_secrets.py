"""`manage.py renew_secrets`: encrypts what is stored with the present SECRET_KEY."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailings.statements.signing import renew_key
from toolkit.access import factors
from webhooks.services import renew_secrets


class Command(BaseCommand):
    """Encrypt what is kept secret anew: former keys are needed no more."""

    help = (
        "Encrypt the secrets of webhooks and second factors, and the key of statements, with the "
        "present SECRET_KEY, so that SECRET_KEY_FALLBACKS can be emptied. Exit code: 0 when all "
        "could be read."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Encrypt them, and name those that cannot be read.

        Raises:
            CommandError: some cannot.
        """
        renewed, webhooks = renew_secrets()
        factors_renewed, users = factors.renew_secrets()
        is_key_renewed = renew_key()
        self.stdout.write(
            f"Secrets of {renewed} webhooks and {factors_renewed} second factors are encrypted "
            "with the present key."
        )
        if webhooks or users:
            raise CommandError(
                f"Those of these webhooks cannot be read: {', '.join(map(str, webhooks)) or 'none'}"
                f"; nor the second factors of: {', '.join(users) or 'nobody'}. Name the key of "
                "before in SECRET_KEY_FALLBACKS and repeat this; or rotate the webhooks, and "
                "remove the second factors (remove_second_factor)."
            )
        if not is_key_renewed:
            raise CommandError(
                "The key of statements cannot be read. Name the key of before in "
                "SECRET_KEY_FALLBACKS and repeat this, or the next statement has a new one."
            )
