"""Logins by the company's account (OpenID Connect): whom its provider names, and who that is here.

Who may come in, and as what, the provider's groups say, at each login anew. The reasons:
docs/adr/0047-sign-in.md.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from authlib.integrations.django_client import DjangoIntegration, DjangoOAuth2App, OAuthError
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from joserfc.errors import JoseError
from requests.exceptions import RequestException

from toolkit.access import factors
from toolkit.access.accounts import set_role
from toolkit.access.models import CompanyAccount, FirstPassword
from toolkit.clock import monotonic
from toolkit.history.models import Deed
from toolkit.history.recording import record_deed

TIMEOUT = 5  # seconds that the provider may take for an answer
KEPT = 300  # seconds that what it says of itself is kept
# Signed with a key that the provider alone has.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
# Whatever a provider, or somebody in its name, may answer.
TROUBLES = (OAuthError, JoseError, RequestException, LookupError, RuntimeError, ValueError)

Claims = Mapping[str, Any]
logger = logging.getLogger(__name__)


def is_on() -> bool:
    """Tell whether people log in by the company's account here."""
    return bool(settings.OIDC_ISSUER)


def account_of(user: User) -> CompanyAccount | None:
    """Return as whom somebody logs in at the provider; None if they do not, or nobody does."""
    return getattr(user, "company_account", None) if is_on() else None


def may_use_tokens(user: User, *, now: datetime) -> bool:
    """Tell whether a user's tokens work: those of people do for some weeks after a login."""
    account = account_of(user)
    if account is None:
        return True
    days = settings.OIDC_TOKEN_DAYS
    return account.seen_at is not None and (
        not days or account.seen_at > now - timedelta(days=days)
    )


def lead_to_provider(
    request: HttpRequest, callback: str, *, choose: bool = False
) -> HttpResponseRedirect:
    """Send somebody to the provider, which sends them back to an address of ours.

    Args:
        request: theirs; its session keeps what is compared when they come back.
        callback: the address.
        choose: whether the provider should ask them which of their accounts it is.

    Raises:
        ValidationError: the provider does not answer.
    """
    extra = {"prompt": "select_account"} if choose else {}
    try:
        answer: HttpResponseRedirect = _provider().authorize_redirect(request, callback, **extra)
    except TROUBLES as error:
        raise _trouble(error) from None
    return answer


def read_claims(request: HttpRequest) -> Claims:
    """Return what the provider says of whoever comes back from it.

    Raises:
        ValidationError: nothing, or nothing that can be believed.
    """
    names = {"iss": settings.OIDC_ISSUER, "aud": settings.OIDC_CLIENT_ID}
    checked = {name: {"essential": True, "values": [value]} for name, value in names.items()}
    try:
        provider = _provider()
        provider.fetch_jwk_set(force=True)  # a new key holds at once, also one without an id
        token = provider.authorize_access_token(request, claims_options=checked)
        claims: dict[str, Any] = dict(token["userinfo"])
        if _claim(claims, settings.OIDC_GROUPS_CLAIM) is None:
            more = provider.userinfo(token=token)
            if more["sub"] == claims["sub"]:
                claims = {**more, **claims}
    except TROUBLES as error:
        raise _trouble(error) from None
    return claims


def admit(claims: Claims, *, now: datetime) -> User:
    """Return the user whom the provider names, with the role that its groups give.

    Raises:
        ValidationError: they may not come in, or not under this name.
    """
    known = CompanyAccount.objects.filter(issuer=settings.OIDC_ISSUER, subject=claims["sub"])
    account = known.select_related("user").first()
    role = role_in(claims)
    if not role:
        if account:
            _shut_out(account)
        raise ValidationError(
            _("Your company's account is in none of the groups that may use Mailing Manager."),
            code="no_group",
        )
    if account and not account.user.is_active:
        raise ValidationError(
            _("Your account here is switched off. An administrator can switch it on again."),
            code="switched_off",
        )
    with transaction.atomic():
        account = account or connect(_new_user(claims), subject=claims["sub"])
        user = account.user
        _write_down(user, claims)
        set_role(user, role, roles=settings.OIDC_GROUPS)
        CompanyAccount.objects.filter(pk=user.pk).update(seen_at=now)
    return user


@transaction.atomic
def connect(user: User, *, subject: str) -> CompanyAccount:
    """Have a user log in by an account of the company from now on, and by password no more.

    Their tokens go on. Raises ValidationError: one of the two is connected already.
    """
    taken = CompanyAccount.objects.filter(issuer=settings.OIDC_ISSUER, subject=subject).first()
    if taken or CompanyAccount.objects.filter(user=user).exists():
        raise ValidationError(
            _("%(name)s has a company account already.")
            % {"name": taken.user.username if taken else user.username},
            code="connected",
        )
    FirstPassword.objects.filter(user=user).delete()
    factors.remove(user)
    user.set_unusable_password()
    user.save()
    record_deed(Deed.CHANGED, user, changes={"company_account": [None, subject]})
    return CompanyAccount.objects.create(user=user, issuer=settings.OIDC_ISSUER, subject=subject)


def role_in(claims: Claims) -> str:
    """Return the role that may do most of those that the provider's groups give; or nothing."""
    found = _claim(claims, settings.OIDC_GROUPS_CLAIM)
    groups = set(map(str, found if isinstance(found, list | dict) else [found]))
    roles = [role for role, names in settings.OIDC_GROUPS.items() if groups.intersection(names)]
    return roles[-1] if roles else ""


def _claim(claims: Claims, name: str) -> Any:
    """Return a claim by its name, or by a path of names such as realm_access.roles."""
    found: Any = claims
    if name in claims:
        return claims[name]
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _new_user(claims: Claims) -> User:
    """Make a user for somebody who comes for the first time.

    Raises:
        ValidationError: the name is missing, is none, or is somebody else's: whoever may choose
            names at the provider does not become a local user by that.
    """
    name = str(claims.get(settings.OIDC_USERNAME_CLAIM) or "")
    try:
        User.username_validator(name)
    except ValidationError:
        name = ""
    if not name or len(name) > 150:
        raise ValidationError(
            _("Your company's account has no name that can be used here (%(claim)s).")
            % {"claim": settings.OIDC_USERNAME_CLAIM},
            code="no_name",
        )
    if User.objects.filter(username__iexact=name).exists():
        raise ValidationError(
            _(
                "Somebody here has the name %(name)s already. If it is you, an administrator "
                "connects the two: manage.py connect_company_account %(name)s %(subject)s"
            )
            % {"name": name, "subject": claims["sub"]},
            code="name_taken",
        )
    return User.objects.create(username=name, is_staff=True)


def _write_down(user: User, claims: Claims) -> None:
    """Keep what somebody is called and their address as the provider has them now."""
    user.is_staff = True
    user.first_name = _text(claims, "given_name", 150) or user.first_name
    user.last_name = _text(claims, "family_name", 150) or user.last_name
    email = _text(claims, "email", 254)
    try:
        validate_email(email)
    except ValidationError:
        email = user.email
    user.email = email
    user.save()


def _text(claims: Claims, name: str, length: int) -> str:
    return "".join(filter(str.isprintable, str(claims.get(name) or "")))[:length]


@transaction.atomic
def _shut_out(account: CompanyAccount) -> None:
    """Take from somebody what the groups gave them, and with it what their tokens may do."""
    set_role(account.user, "", roles=settings.OIDC_GROUPS)
    CompanyAccount.objects.filter(pk=account.pk).update(seen_at=None)


def _trouble(error: Exception) -> ValidationError:
    """Write to the log why a login by the company's account failed; return what is said of it.

    Anybody may have made the text up, in the address that the provider leads back to.
    """
    text = str(error)[:300]
    logger.warning("A login by the company's account failed: %s: %r", type(error).__name__, text)
    return ValidationError(
        _(
            "The company's account could not be asked for, or its answer could not be used. Try "
            "again. If it stays so, tell an administrator: the reason is in the log."
        ),
        code="provider",
    )


def _provider() -> Any:
    return _provider_of(
        settings.OIDC_ISSUER,
        settings.OIDC_CLIENT_ID,
        settings.OIDC_CLIENT_SECRET,
        settings.OIDC_SCOPES,
        int(monotonic() // KEPT),
    )


@lru_cache(maxsize=1)
def _provider_of(issuer: str, client_id: str, secret: str, scopes: str, _while: int) -> Any:
    """Return a client of the provider, with what it says of itself (OpenID Connect Discovery)."""
    provider = DjangoOAuth2App(
        DjangoIntegration("company"),
        client_id=client_id,
        client_secret=secret or None,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": scopes,
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT,
        },
    )
    provider.load_server_metadata()["id_token_signing_alg_values_supported"] = ALGORITHMS
    return provider
