"""A migration's new permissions for the groups that an earlier version has made.

New installations get them with the groups (mailing_manager_project.roles). A group that somebody
has renamed or deleted is left alone.
"""

from collections.abc import Collection, Mapping
from typing import Any

from django.db.migrations import RunPython

# What a migration that gives rights depends on, besides what is its own.
DEPENDENCIES = [
    ("auth", "0012_alter_user_first_name_max_length"),
    ("contenttypes", "0002_remove_content_type_name"),
]


def give_rights(
    app_label: str, model: str, names: Mapping[str, str], groups: Mapping[str, Collection[str]]
) -> RunPython:
    """Return the operation that gives permissions on a model to groups.

    Args:
        app_label: of the model.
        model: its name in lower case.
        names: {codename: what the permission is called}. They are made here, because `migrate`
            makes permissions only at its end.
        groups: {name of a group: codenames}.
    """

    def give(apps: Any, schema_editor: Any) -> None:
        receivers = list(apps.get_model("auth", "Group").objects.filter(name__in=groups))
        if not receivers:
            return
        content_types = apps.get_model("contenttypes", "ContentType").objects
        content_type, _ = content_types.get_or_create(app_label=app_label, model=model)
        permissions = apps.get_model("auth", "Permission").objects
        made = {
            codename: permissions.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": name}
            )[0]
            for codename, name in names.items()
        }
        for group in receivers:
            group.permissions.add(*(made[codename] for codename in groups[group.name]))

    return RunPython(give, RunPython.noop)
