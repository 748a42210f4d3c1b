"""The groups that every installation begins with, and what they may do.

A group that exists is left as it is: an administrator may give and take permissions. To change what
groups that exist may do, a later version needs a migration.
"""

from typing import Any

from django.apps import AppConfig, apps
from django.db import router, transaction
from django.db.models.signals import post_migrate

VIEWERS = (
    "clients.view_client",
    "clients.view_clientimport",
    "mailings.view_mailing",
    "messages_app.view_message",
    "messages_app.view_sendingcontrol",
    "webhooks.view_webhook",
)
OPERATORS = (
    *VIEWERS,
    *(f"clients.{verb}_client" for verb in ("add", "change", "delete")),
    "clients.add_clientimport",
    *(f"mailings.{verb}_mailing" for verb in ("add", "change", "launch")),
    *(f"messages_app.{verb}_message" for verb in ("add", "change", "delete")),
    *(f"messages_app.{verb}_message" for verb in ("resend", "confirm")),
    "messages_app.change_sendingcontrol",
)
ADMINISTRATORS = (
    *OPERATORS,
    "mailings.delete_mailing",
    "history.view_entry",
    *(f"webhooks.{verb}_webhook" for verb in ("add", "change", "delete")),
    *(f"reports.{verb}_recipient" for verb in ("view", "add", "change", "delete")),
    "clients.erase_client",
    *(
        f"auth.{verb}_{model}"
        for verb in ("view", "add", "change", "delete")
        for model in ("user", "group")
    ),
    *(f"knox.{verb}_authtoken" for verb in ("view", "add", "delete")),
    *(
        f"django_celery_beat.{verb}_{model}"
        for verb in ("view", "add", "change", "delete")
        for model in ("periodictask", "crontabschedule", "intervalschedule", "clockedschedule")
    ),
)
GROUPS = {"viewers": VIEWERS, "operators": OPERATORS, "administrators": ADMINISTRATORS}


def seed_after_migrate() -> None:
    """Have the groups made at the end of `migrate`, when all permissions are there."""
    last = [each for each in apps.get_app_configs() if each.models_module][-1]
    post_migrate.connect(seed_groups, sender=last, dispatch_uid="mailing_manager.seed_groups")


def seed_groups(sender: AppConfig, using: str = "default", apps: Any = apps, **_: object) -> None:
    """Make the groups that do not exist, with their permissions.

    Where not all permissions exist, because only some migrations were run, nothing is made yet.
    """
    try:
        groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:
        return
    if not router.allow_migrate_model(using, groups):
        return
    known = groups.objects.using(using).filter(name__in=GROUPS).values_list("name", flat=True)
    missing = set(GROUPS) - set(known)
    if not missing:
        return
    ids = {
        f"{app}.{codename}": pk
        for app, codename, pk in permissions.objects.using(using).values_list(
            "content_type__app_label", "codename", "pk"
        )
    }
    if not all(permission in ids for each in GROUPS.values() for permission in each):
        return
    with transaction.atomic(using=using):
        for name in sorted(missing):
            group = groups.objects.using(using).create(name=name)
            group.permissions.set([ids[permission] for permission in GROUPS[name]])
