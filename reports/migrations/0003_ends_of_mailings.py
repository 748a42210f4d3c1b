from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reports", "0002_tick_and_rights"),
    ]

    operations = [
        migrations.AddField(
            model_name="recipient",
            name="is_told_of_ends",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="at the end of each mailing"
            ),
        ),
        migrations.AlterField(
            model_name="letter",
            name="kind",
            field=models.CharField(
                choices=[("daily", "Daily"), ("ending", "Ending")], max_length=16
            ),
        ),
    ]
