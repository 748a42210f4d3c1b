"""The console's sidebar."""

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
        _("Administration"),
        (
            (_("Schedule"), "schedule", "django_celery_beat", "periodictask"),
            (_("API tokens"), "key", "knox", "authtoken"),
            (_("Webhooks"), "webhook", "webhooks", "webhook"),
            (_("Users"), "person", "auth", "user"),
            (_("Groups"), "group", "auth", "group"),
            (_("History"), "history", "history", "entry"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar's groups, with the items that the user may view."""
    return [
        *(
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
                    if request.user.has_perm(f"{app}.view_{model}")
                ],
            }
            for title, items in GROUPS
        ),
        {
            "title": _("Programs"),
            "separator": True,
            "items": [{"title": _("REST API"), "icon": "api", "link": reverse("docs")}],
        },
    ]
