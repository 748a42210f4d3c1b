"""Index what lists of clients are filtered by in the order of the lists, beside writers."""

import django.core.validators
from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("clients", "0001_initial")]
    operations = [
        AddIndexBesideWriters(
            "client",
            models.Index(fields=["operator_code", "id"], name="client_operator_code_idx"),
        ),
        AddIndexBesideWriters("client", models.Index(fields=["tag", "id"], name="client_tag_idx")),
        AddIndexBesideWriters(
            "client", models.Index(fields=["timezone", "id"], name="client_timezone_idx")
        ),
        # The index of operator codes alone is not needed any more.
        migrations.AlterField(
            "client",
            "operator_code",
            models.CharField(
                blank=True,
                help_text="Digits. Left empty, it is taken from the phone number.",
                max_length=8,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[0-9]+\\Z", "Write digits only, for example 999."
                    )
                ],
            ),
        ),
    ]
