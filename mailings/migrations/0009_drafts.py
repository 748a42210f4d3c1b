"""Let a mailing be a draft. Mailings are few: the constraint is looked through in a moment."""

from django.db import migrations, models


def let_triggers_be(apps, schema_editor):
    """Have SQLite, which makes the table anew, not look at triggers that name it meanwhile."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("PRAGMA legacy_alter_table = ON")


def look_at_triggers(apps, schema_editor):
    """Have SQLite look at them again."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("PRAGMA legacy_alter_table = OFF")


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0008_launch"),
    ]

    operations = [
        migrations.RunPython(let_triggers_be, look_at_triggers),
        migrations.RemoveConstraint(
            model_name="mailing",
            name="mailing_status_is_known",
        ),
        migrations.AlterField(
            model_name="mailing",
            name="status",
            field=models.CharField(
                choices=[
                    ("draft", "Draft"),
                    ("scheduled", "Scheduled"),
                    ("running", "Running"),
                    ("paused", "Paused"),
                    ("finished", "Finished"),
                    ("cancelled", "Cancelled"),
                ],
                default="scheduled",
                editable=False,
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="mailing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        ("draft", "scheduled", "running", "paused", "finished", "cancelled"),
                    )
                ),
                name="mailing_status_is_known",
            ),
        ),
        migrations.RunPython(look_at_triggers, let_triggers_be),
    ]
