"""Let beat look for unsent messages every few seconds; ticks no longer go stale within a minute."""

from django.db import migrations

SEEDED = 55  # seconds, once: the clocks of two hosts may differ by more
EXPIRE_SECONDS = 300


def seed(apps, schema_editor):
    """Add the row of the brakes and the tick; let the other ticks live as long, unless edited."""
    apps.get_model("messages_app", "Brakes").objects.get_or_create(pk=1)
    IntervalSchedule = apps.get_model("django_celery_beat", "IntervalSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    often, _ = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    PeriodicTask.objects.get_or_create(
        name="send_message",
        defaults={"task": "send_message", "interval": often, "expire_seconds": EXPIRE_SECONDS},
    )
    ticks = PeriodicTask.objects.filter(name__in=("start_mailing", "finish_mailing"))
    ticks.filter(expire_seconds=SEEDED).update(expire_seconds=EXPIRE_SECONDS)


class Migration(migrations.Migration):
    """What was lost is noticed within seconds."""

    dependencies = [
        ("messages_app", "0003_attempts_leases_brakes"),
        ("mailings", "0002_tick_every_minute"),
    ]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
