"""Index the mailings of which a statement is to be made."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mailings", "0017_statements")]
    operations = [
        AddIndexBesideWriters(
            "mailing",
            models.Index(
                condition=models.Q(("result_changed_at__isnull", False)),
                fields=["result_changed_at"],
                name="mailing_to_state_idx",
            ),
        ),
    ]
