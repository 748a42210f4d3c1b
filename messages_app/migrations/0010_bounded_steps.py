"""Note which messages a lease holds, so that nobody has to search for them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("messages_app", "0009_rejections_in_a_row"),
    ]

    operations = [
        migrations.CreateModel(
            name="LeasedBatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("token", models.BigIntegerField()),
                (
                    "message_ids",
                    models.BinaryField(help_text="8 bytes each, as in Posting.message_ids."),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["token"], name="leased_batch_token_idx")],
            },
        ),
    ]
