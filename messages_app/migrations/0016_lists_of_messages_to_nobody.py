"""Index the messages of deleted clients in the order of the lists, beside writers."""

from django.db import migrations, models

from toolkit.indexes import AddIndexBesideWriters

TO_NOBODY = models.Q(client__isnull=True)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("messages_app", "0015_resend_and_confirm")]
    operations = [
        AddIndexBesideWriters(
            "message",
            models.Index(
                fields=["mailing", "id"], condition=TO_NOBODY, name="message_to_nobody_idx"
            ),
        ),
        AddIndexBesideWriters(
            "message",
            models.Index(
                fields=["phone_number"], condition=TO_NOBODY, name="message_deleted_number_idx"
            ),
        ),
    ]
