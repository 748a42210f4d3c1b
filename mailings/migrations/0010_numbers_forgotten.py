"""Let a mailing know how far the numbers of its messages are forgotten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0009_drafts")]

    operations = [
        migrations.AddField(
            model_name="mailing",
            name="numbers_forgotten_up_to",
            field=models.BigIntegerField(editable=False, null=True),
        ),
    ]
