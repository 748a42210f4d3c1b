"""Let a mailing know of which messages an operator said that they all arrived."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0014_external_ids_once")]

    operations = [
        migrations.AddField(
            model_name="mailing",
            name="confirm_asked_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="confirmed_up_to",
            field=models.BigIntegerField(editable=False, null=True),
        ),
    ]
