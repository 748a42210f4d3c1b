"""Index the numbers of deleted clients' messages, beside writers."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class AddIndexBesideWriters(AddIndexConcurrently):
    """Concurrently on Postgres; on SQLite, which has one writer, as always."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_forwards(
                self, app_label, schema_editor, from_state, to_state
            )

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_backwards(
                self, app_label, schema_editor, from_state, to_state
            )


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
