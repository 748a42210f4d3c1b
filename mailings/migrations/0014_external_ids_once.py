"""Let an external id be there once, beside writers."""

from django.db import migrations, models

from toolkit.indexes import AddUniqueIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mailings", "0013_external_ids")]

    operations = [
        AddUniqueIndexBesideWriters(
            "mailing",
            models.UniqueConstraint(
                fields=("external_id",),
                condition=models.Q(external_id__isnull=False, deleted_at=None),
                name="mailing_external_id_once",
            ),
        ),
    ]
