"""Drop the foreign keys of messages: every message of a plan was looked up twice for them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clients", "0001_initial"),
        ("mailings", "0006_mailings_outside_the_ledger"),
        ("messages_app", "0011_home"),
    ]
    operations = [
        migrations.AlterField(
            "message",
            "mailing",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="messages",
                to="mailings.mailing",
            ),
        ),
        migrations.AlterField(
            "message",
            "client",
            models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="messages",
                to="clients.client",
            ),
        ),
    ]
