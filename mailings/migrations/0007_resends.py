"""Let a mailing send again what failed for good in another one."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0006_mailings_outside_the_ledger"),
    ]

    operations = [
        migrations.AddField(
            model_name="mailing",
            name="resends",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="mailings.mailing",
            ),
        ),
        migrations.AddField(
            model_name="mailing",
            name="resent_codes",
            field=models.JSONField(editable=False, null=True),
        ),
    ]
