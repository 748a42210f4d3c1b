"""What was done to all things of a kind, the newest first, without reading the rest."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("history", "0002_who_may_read")]

    operations = [
        AddIndexBesideWriters(
            "entry", models.Index(fields=["kind", "-id"], name="history_kind_idx")
        ),
    ]
