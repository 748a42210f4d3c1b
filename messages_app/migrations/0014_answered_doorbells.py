"""A doorbell says whether a delivery serves it already."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0013_line_and_queue")]

    operations = [
        migrations.AddField(
            model_name="doorbell",
            name="is_answered",
            field=models.BooleanField(
                db_default=False, default=False, help_text="A delivery is serving it."
            ),
        ),
    ]
