"""Index the numbers of deleted clients' messages, beside writers."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("messages_app", "0006_ledger")]
    operations = [
        AddIndexBesideWriters(
            "message",
            models.Index(
                condition=models.Q(("client__isnull", True)),
                fields=["mailing", "phone_number"],
                name="message_deleted_client_idx",
            ),
        ),
    ]
