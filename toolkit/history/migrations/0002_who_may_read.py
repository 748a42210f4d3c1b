"""Administrators may read all of history, also in an installation of before."""

from django.db import migrations

from toolkit.rights import DEPENDENCIES, give_rights


class Migration(migrations.Migration):
    dependencies = [("history", "0001_entries"), *DEPENDENCIES]

    operations = [
        give_rights(
            *("history", "entry"),
            {"view_entry": "Can view history entry"},
            {"administrators": ["view_entry"]},
        ),
    ]
