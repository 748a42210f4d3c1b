"""Let a mailing know who wrote and who approved it, and when it was launched."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0011_numbers_kept")]

    operations = [
        migrations.AddField(
            model_name="mailing",
            name="written_by",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="launched_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="approved_by",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="approved_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="approved_version",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
