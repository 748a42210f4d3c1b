"""What a migration puts into the database: the tick, and rights for groups of before."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
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


def test_groups_that_exist_get_what_new_ones_have() -> None:
    Permission.objects.filter(content_type__app_label="webhooks").delete()
    Group.objects.filter(name="viewers").delete()

    migration.give_rights(apps, None)

    for name, verbs in (
        ("operators", {"view"}),
        ("administrators", {"view", "add", "change", "delete"}),
    ):
        held = Group.objects.get(name=name).permissions.filter(content_type__app_label="webhooks")
        assert set(held.values_list("codename", flat=True)) == {f"{verb}_webhook" for verb in verbs}
    assert not Group.objects.filter(name="viewers").exists()
