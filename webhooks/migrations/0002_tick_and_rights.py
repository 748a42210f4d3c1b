"""Have beat look every few seconds for what is to be told, and say who may see and add webhooks.

Groups that an earlier version made get what new ones are made with (mailing_manager_project.roles).
In a new installation there are no groups yet.
"""

from django.db import migrations

EXPIRE_SECONDS = 300
VERBS = ("view", "add", "change", "delete")
RIGHTS = {"viewers": ("view",), "operators": ("view",), "administrators": VERBS}


def seed_tick(apps, schema_editor):
    """Add the tick, unless there is one of its name already."""
    IntervalSchedule = apps.get_model("django_celery_beat", "IntervalSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    often, _ = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    PeriodicTask.objects.get_or_create(
        name="relay_webhooks",
        defaults={"task": "relay_webhooks", "interval": often, "expire_seconds": EXPIRE_SECONDS},
    )


def give_rights(apps, schema_editor):
    """Give the groups that exist the permissions, which `migrate` would make only at its end."""
    groups = apps.get_model("auth", "Group").objects.filter(name__in=RIGHTS)
    if not groups:
        return
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="webhooks", model="webhook"
    )
    permissions = apps.get_model("auth", "Permission").objects
    made = {
        verb: permissions.get_or_create(
            content_type=content_type,
            codename=f"{verb}_webhook",
            defaults={"name": f"Can {verb} webhook"},
        )[0]
        for verb in VERBS
    }
    for group in groups:
        group.permissions.add(*(made[verb] for verb in RIGHTS[group.name]))


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(seed_tick, migrations.RunPython.noop),
        migrations.RunPython(give_rights, migrations.RunPython.noop),
    ]
