"""Second factors of local accounts: codes that a phone makes (TOTP, RFC 6238), and backup codes.

The reasons: docs/adr/0047-sign-in.md. Who logs in by the company's account has those of its
provider.
"""

import secrets
from base64 import b32encode
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

import pyotp
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from toolkit.access import notices
from toolkit.access.models import BackupCode, Notice, SecondFactor
from toolkit.encryption import Cipher, UnreadableError
from toolkit.history.models import Deed
from toolkit.history.recording import record_deed

ISSUER = "Mailing Manager"  # under which a phone lists the account
BACKUP_CODES = 10
CIPHER = Cipher("second factor")


def new_secret() -> str:
    """Return a secret that nobody has yet, as a phone takes it."""
    return pyotp.random_base32()


def address_of(user: User, secret: str) -> str:
    """Return what stands in the picture that a phone reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=user.get_username(), issuer_name=ISSUER)


def factor_of(user: User) -> SecondFactor | None:
    """Return the second factor of a user, if they have one."""
    return SecondFactor.objects.filter(user=user).first()


def may_have_one(user: User) -> bool:
    """Tell whether there is a password that a second factor could stand beside."""
    return bool(settings.LOCAL_LOGINS and user.has_usable_password())


def is_required(user: User) -> bool:
    """Tell whether a user has to have a second factor (SECOND_FACTOR)."""
    wanted = settings.SECOND_FACTOR
    is_meant = wanted == "everybody" or (
        wanted == "administrators" and user.has_perm("auth.change_user")
    )
    return is_meant and may_have_one(user)


@transaction.atomic
def set_up(user: User, secret: str, code: str, *, now: datetime) -> list[str]:
    """Ask a user for codes from now on; return the backup codes, of which only hashes are kept.

    Raises:
        ValidationError: the code is none of this secret's, so the phone does not have it.
    """
    step = _step_of(secret, code, now=now)
    if step is None:
        raise ValidationError(
            _("This is not the code that the phone should show. Is its clock right?"),
            code="wrong_code",
        )
    stored = CIPHER.encrypt(secret.encode()).decode()
    SecondFactor.objects.create(user=user, secret=stored, last_step=step, made_at=now)
    record_deed(Deed.CHANGED, user, changes={"second_factor": [False, True]})
    notices.note(user, Notice.What.FACTOR_SET_UP)
    return _make_backup_codes(user)


@transaction.atomic
def renew_backup_codes(user: User) -> list[str]:
    """Make backup codes in place of those of before; return them."""
    left = BackupCode.objects.filter(user=user).count()
    codes = _make_backup_codes(user)
    record_deed(Deed.CHANGED, user, changes={"backup_codes": [left, len(codes)]})
    return codes


@transaction.atomic
def remove(user: User) -> bool:
    """Ask a user for codes no more. Returns whether they were asked before."""
    found, _models = SecondFactor.objects.filter(user=user).delete()
    BackupCode.objects.filter(user=user).delete()
    if found:
        record_deed(Deed.CHANGED, user, changes={"second_factor": [True, False]})
        notices.note(user, Notice.What.FACTOR_REMOVED)
    return bool(found)


def check(user: User, code: str, *, now: datetime) -> bool:
    """Tell whether a code is a user's, and use it up; of who has no second factor any code is."""
    factor = factor_of(user)
    return factor is None or _take_code(factor, code, now=now) or _take_backup_code(user, code)


def renew_secrets() -> tuple[int, list[str]]:
    """Encrypt the secrets of second factors with the present SECRET_KEY.

    Returns:
        How many, and the names of the users whose secrets cannot be read.
    """
    renewed, unreadable = 0, []
    for factor in SecondFactor.objects.select_related("user"):
        try:
            secret = CIPHER.decrypt(factor.secret.encode())
        except UnreadableError:
            unreadable.append(factor.user.username)
            continue
        stored = CIPHER.encrypt(secret).decode()
        same = SecondFactor.objects.filter(pk=factor.pk, secret=factor.secret)
        renewed += same.update(secret=stored)
    return renewed, unreadable


def _take_code(factor: SecondFactor, code: str, *, now: datetime) -> bool:
    """Take a code of the phone, unless it or a later one was taken before."""
    try:
        secret = CIPHER.decrypt(factor.secret.encode()).decode()
    except UnreadableError:
        return False
    step = _step_of(secret, code, now=now)
    earlier = SecondFactor.objects.filter(pk=factor.pk, last_step__lt=step or 0)
    return step is not None and bool(earlier.update(last_step=step))


def _take_backup_code(user: User, code: str) -> bool:
    """Take a backup code, and have its owner told."""
    with transaction.atomic():
        taken, _models = BackupCode.objects.filter(user=user, digest=_digest(code)).delete()
        if taken:
            notices.note(user, Notice.What.BACKUP_CODE)
    return bool(taken)


def _step_of(secret: str, code: str, *, now: datetime) -> int | None:
    """Return of which half-minute a code is; the one before and the one after count, too."""
    totp, plain = pyotp.TOTP(secret), _plain(code).encode()
    present = totp.timecode(now)
    steps: Iterator[int] = (
        step
        for step in (present - 1, present, present + 1)
        if compare_digest(totp.generate_otp(step).encode(), plain)
    )
    return next(steps, None)


def _make_backup_codes(user: User) -> list[str]:
    """Make codes of 80 bits of chance each, so many that a plain hash of them tells nothing."""
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _each in range(BACKUP_CODES)]
    BackupCode.objects.filter(user=user).delete()
    BackupCode.objects.bulk_create(BackupCode(user=user, digest=_digest(code)) for code in codes)
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]


def _digest(code: str) -> str:
    return sha256(_plain(code).encode()).hexdigest()


def _plain(code: str) -> str:
    """Return a code without what people write between its parts."""
    return "".join(code.replace("-", "").split()).lower()
