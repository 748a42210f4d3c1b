"""The console's sidebar, in the order of an operator's day; nothing technical for operators."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

# (title of a group, its items as (title, icon, app, model))
GROUPS = (
    (
        "",
        (
            (_("Mailings"), "campaign", "mailings", "mailing"),
            (_("Clients"), "contacts", "clients", "client"),
            (_("Imports"), "upload_file", "clients", "clientimport"),
            (_("Messages"), "sms", "messages_app", "message"),
            (_("Sender"), "cell_tower", "messages_app", "sendingcontrol"),
        ),
    ),
    (
        _("People"),
        (
            (_("Users"), "person", "auth", "user"),
            (_("Groups"), "group", "auth", "group"),
            (_("Failed logins"), "lock_person", "axes", "accessattempt"),
            (_("Reports"), "mail", "reports", "recipient"),
            (_("History"), "history", "history", "entry"),
        ),
    ),
    (
        _("Programs"),
        (
            (_("API tokens"), "key", "knox", "authtoken"),
            (_("Webhooks"), "webhook", "webhooks", "webhook"),
            (_("Schedule"), "schedule", "django_celery_beat", "periodictask"),
        ),
    ),
)
# What an item needs if that is not the right to see it. Whoever may only look at webhooks, as
# operators may, has them by their address.
NEEDS = {"webhooks.webhook": "webhooks.add_webhook", "axes.accessattempt": "auth.view_user"}
# Whoever has one of these has to do with programs.
TECHNICAL = ("knox.view_authtoken", "webhooks.add_webhook")


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar's groups, with the items that the user may view."""
    groups: list[dict[str, Any]] = [
        {
            "title": title,
            "separator": bool(title),
            "items": [
                {
                    "title": name,
                    "icon": icon,
                    "link": reverse(f"admin:{app}_{model}_changelist"),
                }
                for name, icon, app, model in items
                if request.user.has_perm(NEEDS.get(f"{app}.{model}", f"{app}.view_{model}"))
            ],
        }
        for title, items in GROUPS
    ]
    if any(request.user.has_perm(right) for right in TECHNICAL):
        documents = {"title": _("REST API"), "icon": "api", "link": reverse("docs")}
        groups[-1]["items"].append(documents)
    return [group for group in groups if group["items"]]
