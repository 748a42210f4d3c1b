"""Keep what is accepted at its first attempt out of the index of the queue.

Messages that an earlier version planned and nobody has tried stand in line; all others are queued.
"""

from itertools import islice

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q
from django.utils import timezone

import messages_app.models.message
from toolkit.indexes import AddIndexBesideWriters, RemoveIndexBesideWriters

CHUNK = 10_000  # messages that one transaction queues


def queue(apps, schema_editor):
    messages = apps.get_model("messages_app", "Message").objects.filter(queued_at=None)
    elsewhere = Q(attempts__gt=0) | Q(next_attempt_at__gt=timezone.now()) | Q(client=None)
    unsent = messages.exclude(next_attempt_at=None).filter(elsewhere, lease_until=None)
    pks = unsent.values_list("pk", flat=True).iterator(chunk_size=CHUNK)
    while ids := list(islice(pks, CHUNK)):
        messages.filter(pk__in=ids).update(queued_at=F("next_attempt_at"))


def line_up(apps, schema_editor):
    lines = apps.get_model("messages_app", "Line").objects
    unclosed = apps.get_model("mailings", "Mailing").objects.filter(success_count=None)
    lines.bulk_create(lines.model(mailing_id=pk) for pk in unclosed.values_list("pk", flat=True))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("messages_app", "0012_no_foreign_keys_of_messages")]
    operations = [
        migrations.CreateModel(
            "Line",
            [
                (
                    "mailing",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="line",
                        serialize=False,
                        to="mailings.mailing",
                    ),
                ),
                (
                    "passed",
                    models.BigIntegerField(default=0, help_text="Id of the last client claimed."),
                ),
                (
                    "is_empty",
                    models.BooleanField(default=False, help_text="Nobody stood in line at last."),
                ),
            ],
        ),
        migrations.AddField(
            "Message", "queued_at", models.DateTimeField(editable=False, null=True)
        ),
        migrations.AlterField(
            "Message",
            "client",
            models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=messages_app.models.message.forget_client,
                related_name="messages",
                to="clients.client",
            ),
        ),
        migrations.RunPython(queue, migrations.RunPython.noop),
        migrations.RunPython(line_up, migrations.RunPython.noop),
        AddIndexBesideWriters(
            "Message",
            models.Index(
                fields=["mailing", "queued_at"],
                condition=Q(queued_at__isnull=False),
                name="message_queue_idx",
            ),
        ),
        AddIndexBesideWriters(
            "Message",
            models.Index(fields=["-id"], condition=~Q(error_code=""), name="message_error_idx"),
        ),
        RemoveIndexBesideWriters("Message", "message_due_idx"),
        RemoveIndexBesideWriters("Message", "message_fail_idx"),
    ]
