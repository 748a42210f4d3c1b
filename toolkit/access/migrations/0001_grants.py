import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [("knox", "0009_extend_authtoken_field")]

    operations = [
        migrations.CreateModel(
            name="Grant",
            fields=[
                (
                    "token",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="grant",
                        serialize=False,
                        to="knox.authtoken",
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        blank=True, help_text="Which program uses it.", max_length=100
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("read", "read: see what its user may see"),
                            ("operate", "operate: do what its user may do"),
                        ],
                        default="operate",
                        max_length=10,
                    ),
                ),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
    ]
