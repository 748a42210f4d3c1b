"""Make the ledger, and room for what it counts messages by."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clients", "0001_initial"),
        ("mailings", "0004_ledger_texts_sender_ids"),
        ("messages_app", "0005_sending_control"),
    ]

    operations = [
        migrations.CreateModel(
            name="Balance",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mailing_id", models.BigIntegerField()),
                ("account", models.CharField(max_length=128)),
                ("number", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="LedgerHead",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.BigIntegerField(default=0)),
                ("former_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="MinuteTotal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mailing_id", models.BigIntegerField()),
                ("began_at", models.DateTimeField()),
                ("minutes", models.PositiveSmallIntegerField(default=1)),
                ("state", models.CharField(max_length=8)),
                ("error_code", models.CharField(max_length=32)),
                ("number", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Posting",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="By the database's clock.",
                    ),
                ),
                (
                    "before",
                    models.CharField(
                        help_text="Empty where the messages did not exist before.", max_length=128
                    ),
                ),
                (
                    "after",
                    models.CharField(
                        help_text="Empty where the messages exist no more.", max_length=128
                    ),
                ),
                ("number", models.BigIntegerField(help_text="How many messages.")),
                (
                    "message_ids",
                    models.BinaryField(
                        help_text="Their ids, 8 bytes each; empty where a count was only corrected."
                    ),
                ),
                ("position", models.BigIntegerField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="heartbeat",
            name="former_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="heartbeat",
            name="own_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="message",
            name="text_version",
            field=models.PositiveIntegerField(
                editable=False,
                help_text="Which version of the mailing's text went out last.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="timezone",
            field=models.CharField(
                db_default="",
                default="",
                editable=False,
                help_text="The client's time zone when it was planned; empty if an earlier version "
                "did.",
                max_length=64,
            ),
        ),
        migrations.AddConstraint(
            model_name="balance",
            constraint=models.UniqueConstraint(
                fields=("mailing_id", "account"), name="balance_once_per_account"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerhead",
            constraint=models.CheckConstraint(
                condition=models.Q(("pk", 1)), name="ledger_head_is_one_row"
            ),
        ),
        migrations.AddConstraint(
            model_name="minutetotal",
            constraint=models.UniqueConstraint(
                fields=("mailing_id", "began_at", "minutes", "state", "error_code"),
                name="minute_total_once_per_state",
            ),
        ),
        migrations.AddField(
            model_name="posting",
            name="mailing",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="mailings.mailing",
            ),
        ),
        migrations.AddIndex(
            model_name="posting",
            index=models.Index(
                condition=models.Q(("position", None)),
                fields=["mailing"],
                name="posting_unfolded_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="posting",
            index=models.Index(
                condition=models.Q(("position__isnull", False)),
                fields=["position", "id"],
                name="posting_position_idx",
            ),
        ),
    ]
