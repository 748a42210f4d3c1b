import django.core.serializers.json
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "door",
                    models.CharField(
                        choices=[
                            ("rest", "REST"),
                            ("console", "Console"),
                            ("command", "Command"),
                            ("task", "Task"),
                        ],
                        max_length=8,
                    ),
                ),
                ("user_id", models.BigIntegerField(null=True)),
                ("username", models.CharField(default="", max_length=150)),
                (
                    "token",
                    models.CharField(
                        default="", help_text="The beginning of the token.", max_length=64
                    ),
                ),
                ("deed", models.CharField(max_length=32)),
                ("kind", models.CharField(max_length=32)),
                (
                    "key",
                    models.CharField(
                        default="", help_text="Empty where it was done to many.", max_length=64
                    ),
                ),
                (
                    "text",
                    models.CharField(help_text="What the object was called then.", max_length=255),
                ),
                (
                    "changes",
                    models.JSONField(
                        default=dict,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        help_text="{field: [before, after]}",
                    ),
                ),
                (
                    "details",
                    models.JSONField(
                        default=dict,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        help_text="How many it was done to, and which.",
                    ),
                ),
            ],
            options={
                "verbose_name": "history entry",
                "verbose_name_plural": "history",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["kind", "key", "-id"], name="history_object_idx"),
                    models.Index(
                        condition=models.Q(("user_id__isnull", False)),
                        fields=["user_id", "-id"],
                        name="history_user_idx",
                    ),
                    models.Index(
                        condition=models.Q(("token", ""), _negated=True),
                        fields=["token", "-id"],
                        name="history_token_idx",
                    ),
                    models.Index(fields=["deed", "-id"], name="history_deed_idx"),
                    models.Index(fields=["at"], name="history_age_idx"),
                ],
            },
        ),
    ]
