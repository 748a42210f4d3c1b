"""Count the rejections without a success, over all workers. Old code leaves the count alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0008_keep_former_deliveries_away")]

    operations = [
        migrations.AddField(
            "SendingControl",
            "rejections",
            models.PositiveIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Messages rejected since the last one that was accepted.",
            ),
        ),
    ]
