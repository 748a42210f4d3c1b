"""Index phone numbers from their end, beside writers: people are found by the last digits."""

from django.db import migrations, models

import clients.querysets
from toolkit.indexes import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("clients", "0004_erase")]
    operations = [
        AddIndexBesideWriters(
            "client",
            models.Index(clients.querysets.Backwards("phone_number"), name="client_backwards_idx"),
        ),
    ]
