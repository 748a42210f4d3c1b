"""What a new password does and must not be: validators, which Django calls with each.

Django calls `password_changed` whenever a password was changed: in the console by its owner or an
administrator, by `changepassword`, or by `set_password` and `save`; and not when only its hash is
made anew at a login.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from toolkit.access import notices
from toolkit.access.models import FirstPassword, Notice


class NewPasswordsEndTokens:
    """Refuses nothing, and revokes the tokens of whoever gets a new password.

    A password that is taken away ("unusable") ends no token: that is how users are kept who are
    programs and never log in.
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Accept every password."""

    def get_help_text(self) -> str:
        """Say to whoever chooses a password what it does."""
        return gettext("A new password revokes all API tokens of its user.")

    def password_changed(self, password: str, user: Any = None) -> None:
        """Revoke the tokens of a user whose password was changed, and have them told of it."""
        notices.note(user, Notice.What.PASSWORD)
        AuthToken.objects.filter(user=user).delete()


class FirstPasswordIsReplaced:
    """Refuses the password that was made for somebody as the new one."""

    def validate(self, password: str, user: Any = None) -> None:
        """Refuse the first password as the new one.

        Raises:
            ValidationError: it is that.
        """
        is_first = user is not None and FirstPassword.objects.filter(user_id=user.pk).exists()
        if is_first and user.check_password(password):
            raise ValidationError(
                _("Choose another password than the one that was made for you."),
                code="first_password",
            )

    def get_help_text(self) -> str:
        """Say nothing: it concerns one password once."""
        return ""

    def password_changed(self, password: str, user: Any = None) -> None:
        """Forget that the password was one that somebody else has made."""
        FirstPassword.objects.filter(user=user).delete()
