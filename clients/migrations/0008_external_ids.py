"""Let a client have the id that another program has for it."""

from django.db import migrations, models

import toolkit.external_ids


class Migration(migrations.Migration):
    dependencies = [("clients", "0007_changes_of_many")]

    operations = [
        migrations.AddField(
            model_name="client",
            name="external_id",
            field=models.CharField(
                blank=True,
                help_text="The id that another program has for this client; no two have the same.",
                max_length=64,
                null=True,
                validators=[toolkit.external_ids.validate],
            ),
        ),
    ]
