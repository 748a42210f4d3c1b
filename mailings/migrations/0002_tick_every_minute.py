"""Seed beat's schedule once; from then on it is the operators' to edit."""

from django.db import migrations

TASKS = ("start_mailing", "finish_mailing")


def seed(apps, schema_editor):
    """Add an entry for each task, unless there is one of its name already."""
    IntervalSchedule = apps.get_model("django_celery_beat", "IntervalSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    minute, _ = IntervalSchedule.objects.get_or_create(every=60, period="seconds")
    for name in TASKS:
        # A tick that waited for most of a minute is worth less than the next one.
        PeriodicTask.objects.get_or_create(
            name=name, defaults={"task": name, "interval": minute, "expire_seconds": 55}
        )


class Migration(migrations.Migration):
    """Every minute: start what is due, finish what is over."""

    dependencies = [
        ("mailings", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
