"""Changes of many clients at once, as jobs."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clients", "0006_import_mapping"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ClientChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=8,
                    ),
                ),
                ("error", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(editable=False, null=True)),
                ("finished_at", models.DateTimeField(editable=False, null=True)),
                ("worked_at", models.DateTimeField(editable=False, null=True)),
                ("tries", models.PositiveIntegerField(default=0, editable=False)),
                ("lease_token", models.UUIDField(editable=False, null=True)),
                ("lease_until", models.DateTimeField(editable=False, null=True)),
                (
                    "what",
                    models.CharField(
                        choices=[("tag", "Tag"), ("timezone", "Timezone"), ("delete", "Delete")],
                        max_length=8,
                    ),
                ),
                ("value", models.CharField(blank=True, default="", max_length=64)),
                ("filters", models.JSONField(default=dict, help_text="The list's parameters.")),
                (
                    "number",
                    models.BigIntegerField(
                        help_text="Clients that they found when it was ordered."
                    ),
                ),
                (
                    "done",
                    models.BigIntegerField(default=0, help_text="Clients that were looked at."),
                ),
                (
                    "changed",
                    models.BigIntegerField(default=0, help_text="Those that were not so already."),
                ),
                ("up_to", models.BigIntegerField()),
                ("last_id", models.BigIntegerField(default=0)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "default_permissions": (),
            },
        ),
    ]
