"""What each permission lets somebody do, as sentences.

A permission that is not here is an internal one, such as those of leases and heartbeats: nobody
needs it, and the console does not offer it.
"""

from django.contrib.auth.models import Permission
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "mailings.view_mailing": _("See mailings and their numbers"),
    "mailings.add_mailing": _("Write mailings, as drafts"),
    "mailings.change_mailing": _("Change, pause and end mailings"),
    "mailings.launch_mailing": _("Launch and resume mailings"),
    "mailings.delete_mailing": _("Delete mailings with their messages"),
    "clients.view_client": _("See clients"),
    "clients.add_client": _("Add clients"),
    "clients.change_client": _("Change clients"),
    "clients.delete_client": _("Delete clients"),
    "clients.erase_client": _("Have a client forgotten everywhere"),
    "clients.view_clientimport": _("See imports and their reports"),
    "clients.add_clientimport": _("Import files of clients"),
    "messages_app.view_message": _("See messages"),
    "messages_app.add_message": _("Send single messages"),
    "messages_app.change_message": _("Change messages"),
    "messages_app.delete_message": _("Withdraw messages that were not sent yet"),
    "messages_app.resend_message": _("Send failed messages again"),
    "messages_app.confirm_message": _("Say that a message has arrived"),
    "messages_app.view_sendingcontrol": _("See what holds sending back"),
    "messages_app.change_sendingcontrol": _("Stop all sending, resume it, and set its rate"),
    "webhooks.view_webhook": _("See webhooks and what was delivered to them"),
    "webhooks.add_webhook": _("Add webhooks"),
    "webhooks.change_webhook": _("Change webhooks and replace their secrets"),
    "webhooks.delete_webhook": _("Delete webhooks"),
    "reports.view_recipient": _("See who gets reports"),
    "reports.add_recipient": _("Add recipients of reports"),
    "reports.change_recipient": _("Change recipients of reports"),
    "reports.delete_recipient": _("Delete recipients of reports"),
    "history.view_entry": _("See all of history: who did what, when"),
    "auth.view_user": _("See users"),
    "auth.add_user": _("Add users"),
    "auth.change_user": _("Change users, and let in those who are locked out"),
    "auth.view_group": _("See groups"),
    "knox.view_authtoken": _("See API tokens"),
    "knox.add_authtoken": _("Make API tokens"),
    "knox.delete_authtoken": _("Revoke API tokens"),
    "django_celery_beat.view_periodictask": _("See the schedule"),
    "django_celery_beat.add_periodictask": _("Add custom tasks to the schedule"),
    "django_celery_beat.change_periodictask": _("Change custom tasks of the schedule"),
    "django_celery_beat.delete_periodictask": _("Delete custom tasks of the schedule"),
}


def offered() -> QuerySet[Permission]:
    """Return the permissions that have a sentence."""
    named = Q(pk__in=())
    for app, codenames in _by_app().items():
        named |= Q(content_type__app_label=app, codename__in=codenames)
    return Permission.objects.filter(named).select_related("content_type")


def sentence_of(permission: Permission) -> str:
    """Return what a permission lets somebody do."""
    name = f"{permission.content_type.app_label}.{permission.codename}"
    return str(SENTENCES.get(name, permission.name))


def sentence_of_name(name: str) -> str:
    """Return what a permission of a name, such as `clients.view_client`, lets somebody do."""
    return str(SENTENCES.get(name, name))


def in_order(permissions: QuerySet[Permission]) -> list[Permission]:
    """Return permissions in the order of the sentences, that of an operator's day."""
    order = {name: number for number, name in enumerate(SENTENCES)}
    last = len(order)
    return sorted(
        permissions,
        key=lambda each: order.get(f"{each.content_type.app_label}.{each.codename}", last),
    )


def _by_app() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in SENTENCES:
        app, codename = name.split(".")
        found.setdefault(app, []).append(codename)
    return found
