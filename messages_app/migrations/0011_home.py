"""Remember where the database lives, and hold a copy back. Old code does neither."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0010_bounded_steps")]

    operations = [
        migrations.CreateModel(
            "Home",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fingerprint", models.CharField(max_length=255)),
                ("former", models.CharField(default="", max_length=255)),
                ("since", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="home_is_one_row")
                ]
            },
        ),
        migrations.AddField(
            "SendingControl", "held_until", models.DateTimeField(editable=False, null=True)
        ),
    ]
