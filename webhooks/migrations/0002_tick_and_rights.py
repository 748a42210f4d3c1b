"""Have beat look every few seconds for what is to be told, and say who may see and add webhooks."""

from django.db import migrations

from toolkit.rights import DEPENDENCIES, give_rights

EXPIRE_SECONDS = 300
VERBS = ("view", "add", "change", "delete")
ALL = [f"{verb}_webhook" for verb in VERBS]
GROUPS = {"viewers": ALL[:1], "operators": ALL[:1], "administrators": ALL}


def seed_tick(apps, schema_editor):
    """Add the tick, unless there is one of its name already."""
    IntervalSchedule = apps.get_model("django_celery_beat", "IntervalSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    often, _ = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    PeriodicTask.objects.get_or_create(
        name="relay_webhooks",
        defaults={"task": "relay_webhooks", "interval": often, "expire_seconds": EXPIRE_SECONDS},
    )


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        *DEPENDENCIES,
    ]

    operations = [
        migrations.RunPython(seed_tick, migrations.RunPython.noop),
        give_rights(
            "webhooks", "webhook", {name: f"Can {name.replace('_', ' ')}" for name in ALL}, GROUPS
        ),
    ]
