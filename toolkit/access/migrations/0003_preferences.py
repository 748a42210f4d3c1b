import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import toolkit.time_zones


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0002_first_passwords"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="Preferences",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="preferences",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("language", models.CharField(blank=True, max_length=10)),
                (
                    "timezone",
                    models.CharField(
                        blank=True, max_length=64, validators=[toolkit.time_zones.validate]
                    ),
                ),
                (
                    "phone_number",
                    models.CharField(
                        blank=True,
                        max_length=15,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[1-9][0-9]{6,14}\\Z",
                                "Write the digits only, with those of the country.",
                            )
                        ],
                    ),
                ),
            ],
        ),
    ]
