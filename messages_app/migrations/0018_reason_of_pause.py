"""Keep who paused all sending, since when and why. Old code pauses without saying."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0017_pulse")]

    operations = [
        migrations.AddField(
            "SendingControl",
            "paused_by",
            models.CharField(db_default="", default="", editable=False, max_length=150),
        ),
        migrations.AddField(
            "SendingControl", "paused_at", models.DateTimeField(editable=False, null=True)
        ),
        migrations.AddField(
            "SendingControl",
            "pause_reason",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Why nothing is sent.",
                max_length=200,
            ),
        ),
    ]
