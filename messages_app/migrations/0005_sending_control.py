"""Rename the brakes to what they are, the control of sending, and keep their table and columns.

Code of before reads and writes the same table while both run beside each other.
"""

from django.db import migrations, models
from django.db.models import F, Value
from django.db.models.functions import Replace

OLD, NEW = "brakes", "sendingcontrol"


def rename_permissions(apps, schema_editor):
    """Let whoever may see or change the brakes see and change the same under its new name."""
    _rename(apps, OLD, NEW)


def restore_permissions(apps, schema_editor):
    """Give the permissions their old names back."""
    _rename(apps, NEW, OLD)


def _rename(apps, old, new):
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="messages_app", codename__endswith=f"_{old}"
    )
    permissions.update(codename=Replace(F("codename"), Value(f"_{old}"), Value(f"_{new}")))


class Migration(migrations.Migration):
    dependencies = [
        ("messages_app", "0004_tick_of_sending"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        # Named first, so that the renaming of the model and of the field finds nothing to do.
        migrations.AlterModelTable("Brakes", "messages_app_brakes"),
        migrations.RenameModel("Brakes", "SendingControl"),
        migrations.AlterField(
            "SendingControl",
            "free_at",
            models.DateTimeField(null=True, editable=False, db_column="free_at"),
        ),
        migrations.RenameField("SendingControl", "free_at", "next_slot_at"),
        migrations.AlterField(
            "SendingControl",
            "opened_at",
            models.DateTimeField(
                null=True, editable=False, help_text="Since when the breaker is open."
            ),
        ),
        migrations.RunPython(rename_permissions, restore_permissions),
    ]
