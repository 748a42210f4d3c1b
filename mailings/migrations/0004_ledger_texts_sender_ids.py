"""Let a mailing know its texts, its key for sender ids, and whether the ledger has it.

Mailings that exist have neither key nor ledger: their messages keep the ids that the sender knows,
and the first tick counts them.
"""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import mailings.models


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0003_local_time_window"),
    ]

    operations = [
        # Without their defaults first: a default would be written into every row.
        migrations.AddField(
            model_name="mailing",
            name="ledger_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="sender_key",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mailing",
            name="text_version",
            field=models.PositiveIntegerField(
                db_default=1,
                default=1,
                editable=False,
                help_text="Counts the texts it has had, from 1.",
            ),
        ),
        migrations.CreateModel(
            name="FormerText",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.PositiveIntegerField()),
                ("text", models.TextField()),
                ("replaced_at", models.DateTimeField()),
                (
                    "mailing",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="former_texts",
                        to="mailings.mailing",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("mailing", "version"), name="former_text_once_per_version"
                    )
                ],
            },
        ),
        migrations.AlterField(
            model_name="mailing",
            name="ledger_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, editable=False, null=True
            ),
        ),
        migrations.AlterField(
            model_name="mailing",
            name="sender_key",
            field=models.BigIntegerField(
                default=mailings.models.new_sender_key, editable=False, null=True
            ),
        ),
    ]
