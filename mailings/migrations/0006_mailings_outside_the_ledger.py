"""Index the mailings that the ledger does not have yet."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mailings", "0005_bounded_steps")]
    operations = [
        AddIndexBesideWriters(
            "mailing",
            models.Index(
                condition=models.Q(("ledger_at", None)),
                fields=["id"],
                name="mailing_outside_ledger_idx",
            ),
        ),
    ]
