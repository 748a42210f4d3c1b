"""Index the mailings of which messages are to be confirmed."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mailings", "0015_confirm_all")]
    operations = [
        AddIndexBesideWriters(
            "mailing",
            models.Index(
                condition=models.Q(("confirmed_up_to__isnull", False)),
                fields=["id"],
                name="mailing_to_confirm_idx",
            ),
        ),
    ]
