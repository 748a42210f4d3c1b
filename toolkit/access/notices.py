"""Mails to users of what concerns their own account, for it may not have been them (ASVS 2.2.3).

What happened is stored with the change itself; a task tells it. Without EMAIL_HOST nothing is told.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from toolkit.access.addresses import client_address
from toolkit.access.models import Notice, preferences_of
from toolkit.publishing import publish

TASK = "send_notices"
KEPT = timedelta(days=1)  # for which a mail that fails is tried again
What = Notice.What

SENTENCES = {
    What.PASSWORD: _("A password was set. API tokens of before are revoked with that."),
    What.TOKEN_MADE: _("An API token was made: %(about)s."),
    What.TOKEN_REVOKED: _("An API token was revoked, or has ended: %(about)s."),
    What.LOCKED_OUT: _("Too many logins from %(about)s failed; for a while there are none."),
    What.FACTOR_SET_UP: _("A second factor was set up: logins need a code of a phone, too."),
    What.FACTOR_REMOVED: _("The second factor was removed: a password is enough for a login."),
    What.BACKUP_CODE: _("Somebody logged in with one of your backup codes."),
}

logger = logging.getLogger(__name__)


def note(user: User, what: str, about: str = "") -> None:
    """Have a user told that something happened to their account, if they can be."""
    if settings.EMAIL_HOST and user.email:
        Notice.objects.create(user=user, what=what, about=about)
        transaction.on_commit(partial(publish, TASK))


def note_changes() -> None:
    """Have tokens that are made and revoked noted, and lockouts. Passwords: `passwords`."""
    post_save.connect(_note_token_made, AuthToken, dispatch_uid="note_token_made")
    post_delete.connect(_note_token_revoked, AuthToken, dispatch_uid="note_token_revoked")
    user_locked_out.connect(_note_lockout, dispatch_uid="note_lockout")


def send_notices() -> None:
    """Send each user one mail of all that is to be told. One that fails is a line in the log."""
    waiting = Notice.objects.filter(is_told=False)
    for user_id in sorted(set(waiting.values_list("user_id", flat=True))):
        # Before the mail, not afterwards: no transaction is open while a server is waited for.
        with transaction.atomic():
            notices = list(waiting.select_for_update().filter(user_id=user_id).order_by("pk"))
            told = Notice.objects.filter(pk__in=[each.pk for each in notices])
            told.update(is_told=True)
        user = User.objects.filter(pk=user_id).first()
        if not user or not notices:
            continue
        try:
            _send(user, notices)
        except OSError as error:  # SMTP's own are such
            logger.error("%r could not be told of their account: %s", user.username, error)
            told.update(is_told=False)


def tend_notices(*, now: datetime) -> None:
    """Queue the task for what is still to be told (the tick), and drop what is old."""
    Notice.objects.filter(at__lt=now - KEPT).delete()
    if Notice.objects.filter(is_told=False).exists():
        publish(TASK)


def _send(user: User, notices: Sequence[Notice]) -> None:
    with translation.override(preferences_of(user).language or settings.LANGUAGE_CODE):
        lines = [
            gettext("This happened to your account %(name)s in Mailing Manager:")
            % {"name": user.username},
            "",
            *map(_line, notices),
            "",
            gettext("If it was not you, tell an administrator at once."),
        ]
        subject = gettext("Mailing Manager: your account")
        send_mail(subject, "\n".join(lines), None, [user.email])


def _line(notice: Notice) -> str:
    sentence = SENTENCES[What(notice.what)] % {"about": notice.about}
    return f"{notice.at:%Y-%m-%d %H:%M} UTC: {sentence}"


def _note_token_made(instance: AuthToken, created: bool, **_: Any) -> None:
    if created:
        note(instance.user, What.TOKEN_MADE, f"{instance.token_key}…")


def _note_token_revoked(instance: AuthToken, **_: Any) -> None:
    note(instance.user, What.TOKEN_REVOKED, f"{instance.token_key}…")


def _note_lockout(request: Any, username: str | None, **_: Any) -> None:
    """Note that logins of somebody are refused, once until they are let in again."""
    user = User.objects.filter(username=username).first()
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    told = Notice.objects.filter(user=user, what=What.LOCKED_OUT, at__gt=since)
    if user and not told.exists():
        note(user, What.LOCKED_OUT, client_address(request) or "?")
