"""Whom a mailing reaches, and whether so many take a second pair of eyes."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from clients.models import Client
from clients.sizing import Audience, audience_of, audience_of_some
from mailings.models import Mailing
from mailings.stats import balances_of
from messages_app import requeueing
from messages_app.stats import failures


def audience_of_mailing(mailing: Mailing) -> Audience:
    """Return whom a mailing goes to: by its filters, and of one that resends those that failed."""
    if mailing.resends is None:
        return audience_of(mailing.filters)
    codes = mailing.resent_codes
    failed = failures(balances_of([mailing.resends])[mailing.resends.pk])
    number = sum(of_it for code, of_it in failed.items() if not codes or code in codes)
    some, _last = requeueing.clients_of_failed(mailing.resends.pk, after=0, codes=codes)
    return audience_of_some(Client.objects.filter(pk__in=some).matching(mailing.filters), number)


def needs_approval(total: int) -> bool:
    """Tell whether a mailing to so many is launched only when somebody else has approved it."""
    limit = settings.MAILING_APPROVAL_ABOVE
    return limit is not None and total > limit


def refuse_unapproved(mailing: Mailing, *, by: int | None) -> None:
    """Refuse to have a mailing launched that needs approval and has none that counts.

    `by` is the id of the user who launches it.

    Raises:
        ValidationError: nobody approved it as it is, or the same user did who launches it.
    """
    if mailing.is_approved and mailing.approved_by != by:
        return
    if settings.MAILING_APPROVAL_ABOVE is None:
        return
    total = audience_of_mailing(mailing).total
    if not needs_approval(total):
        return
    if mailing.is_approved:
        raise ValidationError(
            _("You approved this mailing, so somebody else has to launch it."),
            code="approval_own",
        )
    raise ValidationError(
        _(
            "It goes to %(total)s clients. Above %(limit)s somebody else has to approve a draft "
            "as it is before it is launched."
        )
        % {
            "total": number_format(total, force_grouping=True),
            "limit": number_format(settings.MAILING_APPROVAL_ABOVE, force_grouping=True),
        },
        code="approval_needed",
    )


def refuse_unapproved_edit(mailing: Mailing, before: Mailing) -> None:
    """Refuse to give a mailing that was launched another text, or other clients, past approval.

    Raises:
        ValidationError: it would need approval as it would be.
    """
    if (mailing.text, mailing.filters) == (before.text, before.filters):
        return
    if settings.MAILING_APPROVAL_ABOVE is None:
        return
    if needs_approval(audience_of_mailing(mailing).total):
        raise ValidationError(
            _(
                "A mailing to so many needs approval, so neither its text nor its filters change "
                "after the launch. Cancel it, and write a new one."
            ),
            code="approval_needed",
        )
