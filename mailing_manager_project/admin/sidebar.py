"""The console's sidebar."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

# (title of a group, its items as (title, icon, app, model))
GROUPS = (
    (
        "",
        (
            ("Mailings", "campaign", "mailings", "mailing"),
            ("Clients", "contacts", "clients", "client"),
            ("Messages", "sms", "messages_app", "message"),
            ("Sender", "cell_tower", "messages_app", "sendingcontrol"),
        ),
    ),
    (
        "Administration",
        (
            ("Schedule", "schedule", "django_celery_beat", "periodictask"),
            ("API tokens", "key", "knox", "authtoken"),
            ("Webhooks", "webhook", "webhooks", "webhook"),
            ("Users", "person", "auth", "user"),
            ("Groups", "group", "auth", "group"),
            ("History", "history", "history", "entry"),
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
            "title": "Programs",
            "separator": True,
            "items": [{"title": "REST API", "icon": "api", "link": reverse("docs")}],
        },
    ]
