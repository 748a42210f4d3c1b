"""What somebody has said that the columns of a file are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("clients", "0005_last_digits")]
    operations = [
        migrations.AddField("clientimport", "mapping", models.JSONField(editable=False, null=True)),
    ]
