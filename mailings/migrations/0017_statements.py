"""Make the tables of statements, and let a mailing know that one is to be made."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0016_confirm_all_indexed")]

    operations = [
        migrations.AddField(
            model_name="mailing",
            name="result_changed_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name="StatementKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("private", models.BinaryField(help_text="Encrypted.")),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("pk", 1)), name="statement_key_is_one_row"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Statement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "mailing",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="statements",
                        to="mailings.mailing",
                    ),
                ),
                (
                    "number",
                    models.PositiveIntegerField(
                        help_text="Counts the statements of its mailing, from 1."
                    ),
                ),
                ("salt_key", models.BinaryField()),
                ("begun_at", models.DateTimeField()),
                ("last_client", models.BigIntegerField(default=0)),
                ("last_to_nobody", models.BigIntegerField(default=0)),
                (
                    "counts",
                    models.JSONField(
                        default=dict, help_text="Of the messages read, see `leaves.counted`."
                    ),
                ),
                ("first_sent_at", models.DateTimeField(null=True)),
                ("last_sent_at", models.DateTimeField(null=True)),
                ("document", models.TextField(default="", help_text="The JSON that is signed.")),
                ("signature", models.CharField(default="", max_length=100)),
                ("signed_at", models.DateTimeField(null=True)),
                (
                    "is_told",
                    models.BooleanField(db_default=False, default=False, help_text="By letters."),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("signed_at", None)),
                        fields=["id"],
                        name="statement_unsigned_idx",
                    ),
                    models.Index(
                        condition=models.Q(("is_told", False), ("signed_at__isnull", False)),
                        fields=["id"],
                        name="statement_untold_idx",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("mailing", "number"), name="statement_once_per_number"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="StatementPart",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parts",
                        to="mailings.statement",
                    ),
                ),
                ("place", models.PositiveIntegerField()),
                ("root", models.BinaryField()),
                (
                    "message_ids",
                    models.BinaryField(help_text="See `statements.making.message_ids`."),
                ),
                ("lowest", models.BigIntegerField()),
                ("highest", models.BigIntegerField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("statement", "place"), name="statement_part_once"
                    )
                ],
            },
        ),
    ]
