"""Keep how long the sender takes to answer, and how many requests are open."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0016_lists_of_messages_to_nobody")]
    operations = [
        migrations.CreateModel(
            "AnswerTime",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("began_at", models.DateTimeField()),
                ("step", models.PositiveSmallIntegerField()),
                ("number", models.BigIntegerField()),
            ],
            options={
                "constraints": (
                    models.UniqueConstraint(
                        fields=("began_at", "step"), name="answer_time_once_per_step"
                    ),
                )
            },
        ),
        migrations.CreateModel(
            "Pulse",
            [
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("open_requests", models.PositiveIntegerField()),
            ],
        ),
    ]
