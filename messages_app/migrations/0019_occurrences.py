"""Keep how often leases were reclaimed, and how spools stand. Old code says nothing of it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0018_reason_of_pause")]

    operations = [
        migrations.CreateModel(
            "Occurrence",
            [
                ("name", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("number", models.BigIntegerField()),
            ],
        ),
        migrations.AddField("Pulse", "spool_files", models.PositiveIntegerField(null=True)),
        migrations.AddField("Pulse", "free_bytes", models.BigIntegerField(null=True)),
    ]
