"""Let a mailing have the id that another program has for it."""

from django.db import migrations, models

import toolkit.external_ids


class Migration(migrations.Migration):
    dependencies = [("mailings", "0012_approval_and_undo")]

    operations = [
        migrations.AddField(
            model_name="mailing",
            name="external_id",
            field=models.CharField(
                blank=True,
                help_text="The id that another program has for this mailing; no two have the same.",
                max_length=64,
                null=True,
                validators=[toolkit.external_ids.validate],
            ),
        ),
    ]
