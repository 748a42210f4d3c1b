"""Permissions of their own to resend a message, and to confirm that it arrived."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("messages_app", "0014_answered_doorbells")]

    operations = [
        migrations.AlterModelOptions(
            name="message",
            options={
                "ordering": ("-id",),
                "permissions": (
                    ("resend_message", "Can resend message"),
                    ("confirm_message", "Can confirm that message arrived"),
                ),
            },
        ),
    ]
