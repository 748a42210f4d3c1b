"""A permission of its own to have a mailing's messages go out.

Whoever could do something in the console still can: those who may add or change mailings may launch
them, and those who may change messages may resend and confirm them.
"""

from django.db import migrations

# (app, model, codename, name, the codenames whose holders get it)
NEW = (
    (
        *("mailings", "mailing", "launch_mailing"),
        "Can launch mailing, or send its messages again",
        ("add_mailing", "change_mailing"),
    ),
    ("messages_app", "message", "resend_message", "Can resend message", ("change_message",)),
    (
        *("messages_app", "message", "confirm_message"),
        "Can confirm that message arrived",
        ("change_message",),
    ),
)


def hand_on(apps, schema_editor):
    """Make the permissions, and give them to those who had what they were part of.

    In a new installation there are no permissions yet, and nobody has any.
    """
    permissions = apps.get_model("auth", "Permission").objects
    User = apps.get_model("auth", "User")
    Group = apps.get_model("auth", "Group")
    for app, model, codename, name, former in NEW:
        found = permissions.filter(
            content_type__app_label=app, content_type__model=model, codename__in=former
        )
        for old in found:
            new, _ = permissions.get_or_create(
                content_type=old.content_type, codename=codename, defaults={"name": name}
            )
            for user in User.objects.filter(user_permissions=old):
                user.user_permissions.add(new)
            for group in Group.objects.filter(permissions=old):
                group.permissions.add(new)


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0007_resends"),
        ("messages_app", "0015_resend_and_confirm"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="mailing",
            options={
                "ordering": ("-id",),
                "permissions": (
                    ("launch_mailing", "Can launch mailing, or send its messages again"),
                ),
            },
        ),
        migrations.RunPython(hand_on, migrations.RunPython.noop),
    ]
