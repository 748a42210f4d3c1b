"""What a migration puts into the database: the tick."""

from importlib import import_module

import pytest
from django.apps import apps
from django_celery_beat.models import PeriodicTask

migration = import_module("webhooks.migrations.0002_tick_and_rights")

pytestmark = pytest.mark.django_db


def test_the_tick_is_put_into_beats_schedule_once_and_is_the_operators_then() -> None:
    tick = PeriodicTask.objects.get(name="relay_webhooks")
    assert (tick.task, tick.enabled, tick.expire_seconds) == ("relay_webhooks", True, 300)
    assert tick.schedule.run_every.total_seconds() == 5
    PeriodicTask.objects.filter(name="relay_webhooks").update(enabled=False)

    migration.seed_tick(apps, None)

    assert not PeriodicTask.objects.get(name="relay_webhooks").enabled
