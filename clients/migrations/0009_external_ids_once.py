"""Let an external id be there once, beside writers."""

from django.db import migrations, models

from toolkit.indexes import AddUniqueIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("clients", "0008_external_ids")]

    operations = [
        AddUniqueIndexBesideWriters(
            "client",
            models.UniqueConstraint(
                fields=("external_id",),
                condition=models.Q(external_id__isnull=False),
                name="client_external_id_once",
                violation_error_message="There is already a client with this external id.",
            ),
        ),
    ]
