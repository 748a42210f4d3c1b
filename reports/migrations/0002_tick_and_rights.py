"""Have beat look each minute for letters that are due, and say who may choose who gets them."""

from django.db import migrations

from toolkit.rights import DEPENDENCIES, give_rights

EXPIRE_SECONDS = 300
ALL = [f"{verb}_recipient" for verb in ("view", "add", "change", "delete")]


def seed_tick(apps, schema_editor):
    """Add the tick, unless there is one of its name already."""
    IntervalSchedule = apps.get_model("django_celery_beat", "IntervalSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    minute = IntervalSchedule.objects.filter(every=60, period="seconds").first()
    minute = minute or IntervalSchedule.objects.create(every=60, period="seconds")
    PeriodicTask.objects.get_or_create(
        name="send_reports",
        defaults={"task": "send_reports", "interval": minute, "expire_seconds": EXPIRE_SECONDS},
    )


class Migration(migrations.Migration):
    dependencies = [
        ("reports", "0001_recipients_and_letters"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        *DEPENDENCIES,
    ]

    operations = [
        migrations.RunPython(seed_tick, migrations.RunPython.noop),
        give_rights(
            *("reports", "recipient"),
            {name: f"Can {name.replace('_', ' ')}" for name in ALL},
            {"administrators": ALL},
        ),
    ]
