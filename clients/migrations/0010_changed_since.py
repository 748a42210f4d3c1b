"""Index when clients were last changed, beside writers: programs ask for those since a time."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("clients", "0009_external_ids_once")]

    operations = [
        AddIndexBesideWriters(
            "client", models.Index(fields=["updated_at"], name="client_updated_idx")
        ),
    ]
