"""Keep which troubles were told of. Old code tells of none."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0019_occurrences")]

    operations = [
        migrations.CreateModel(
            "Trouble",
            [
                ("key", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("text", models.TextField()),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("next_at", models.DateTimeField(null=True)),
                (
                    "mailed",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Nothing"), (1, "Begin"), (2, "End")], default=0
                    ),
                ),
                (
                    "posted",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Nothing"), (1, "Begin"), (2, "End")], default=0
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
    ]
