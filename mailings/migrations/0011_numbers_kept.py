"""Index the mailings whose messages have their numbers yet."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mailings", "0010_numbers_forgotten")]
    operations = [
        AddIndexBesideWriters(
            "mailing",
            models.Index(
                condition=models.Q(
                    ("success_count__isnull", False),
                    models.Q(
                        ("numbers_forgotten_up_to", None),
                        ("numbers_forgotten_up_to__lt", 9223372036854775807),
                        _connector="OR",
                    ),
                ),
                fields=["stop_time"],
                name="mailing_numbers_idx",
            ),
        ),
    ]
