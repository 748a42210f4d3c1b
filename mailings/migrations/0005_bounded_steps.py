"""Let a mailing know how far deletions and edits of its messages have come."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0004_ledger_texts_sender_ids"),
    ]

    operations = [
        migrations.AddField(
            model_name="mailing",
            name="deferred_up_to",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="deleted_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="failed_up_to",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="requeued_codes",
            field=models.JSONField(editable=False, null=True),
        ),
    ]
