"""A permission of its own to erase a client everywhere, for administrators."""

from django.db import migrations

from toolkit.rights import DEPENDENCIES, give_rights

NAME = "Can erase client, with all that is kept of it"


class Migration(migrations.Migration):
    dependencies = [("clients", "0003_imports"), *DEPENDENCIES]

    operations = [
        migrations.AlterModelOptions(
            name="client",
            options={"ordering": ("-id",), "permissions": (("erase_client", NAME),)},
        ),
        give_rights(
            "clients", "client", {"erase_client": NAME}, {"administrators": ["erase_client"]}
        ),
    ]
