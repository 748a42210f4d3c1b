"""Links that let somebody in once, for whoever has a shell and cannot log in otherwise."""

from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode


class _Tokens(PasswordResetTokenGenerator):
    """Tokens that a login uses up, and PASSWORD_RESET_TIMEOUT."""

    key_salt = "toolkit.access.links"


def words_for(user: User) -> tuple[str, str]:
    """Return what names a user in a link, and the token that lets them in."""
    return urlsafe_base64_encode(str(user.pk).encode()), _Tokens().make_token(user)


def user_of(name: str, token: str) -> User | None:
    """Return whom a link lets in; None if it is used up, too old, or made up."""
    try:
        user = User.objects.filter(pk=int(urlsafe_base64_decode(name)), is_active=True).first()
    except (ValueError, OverflowError):
        return None
    return user if _Tokens().check_token(user, token) else None
