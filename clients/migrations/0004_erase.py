"""A permission of its own to erase a client everywhere."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("clients", "0003_imports")]

    operations = [
        migrations.AlterModelOptions(
            name="client",
            options={
                "ordering": ("-id",),
                "permissions": (("erase_client", "Can erase client, with all that is kept of it"),),
            },
        ),
    ]
