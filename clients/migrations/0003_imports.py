"""Imports of uploaded files. Who sees clients may see imports, and who adds clients may import."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import clients.models

# {codename of the new permission: (its name, the codename whose holders get it)}
NEW = {
    "view_clientimport": ("Can view client import", "view_client"),
    "add_clientimport": ("Can add client import", "add_client"),
}


def hand_on(apps, schema_editor):
    """Make the permissions, and give them to those who may do the same with single clients.

    In a new installation there are no permissions yet, and nobody has any.
    """
    permissions = apps.get_model("auth", "Permission").objects
    content_types = apps.get_model("contenttypes", "ContentType").objects
    for codename, (name, former) in NEW.items():
        for old in permissions.filter(content_type__app_label="clients", codename=former):
            content_type, _ = content_types.get_or_create(app_label="clients", model="clientimport")
            new, _ = permissions.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": name}
            )
            for user in apps.get_model("auth", "User").objects.filter(user_permissions=old):
                user.user_permissions.add(new)
            for group in apps.get_model("auth", "Group").objects.filter(permissions=old):
                group.permissions.add(new)


class Migration(migrations.Migration):
    dependencies = [
        ("clients", "0002_lists_by_index"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ClientImport",
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
                    "file",
                    models.FileField(
                        blank=True, max_length=200, upload_to=clients.models.name_file
                    ),
                ),
                (
                    "file_name",
                    models.CharField(help_text="What the file was called.", max_length=255),
                ),
                (
                    "on_known",
                    models.CharField(
                        choices=[("update", "Update"), ("skip", "Skip")],
                        default="update",
                        max_length=6,
                    ),
                ),
                (
                    "rows",
                    models.PositiveIntegerField(
                        help_text="In the file; null until it is read.", null=True
                    ),
                ),
                (
                    "done",
                    models.PositiveIntegerField(default=0, help_text="Rows that were looked at."),
                ),
                (
                    "created",
                    models.PositiveIntegerField(
                        default=0, help_text="Rows whose number was not known."
                    ),
                ),
                (
                    "updated",
                    models.PositiveIntegerField(default=0, help_text="Rows that changed a client."),
                ),
                (
                    "unchanged",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Rows with which a client was as it is, or was to be left alone.",
                    ),
                ),
                (
                    "rejected",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Rows that could not be saved; `rejected.csv` has them.",
                    ),
                ),
                ("columns", models.JSONField(default=list, editable=False)),
                ("offset", models.BigIntegerField(default=0, editable=False)),
                ("line", models.BigIntegerField(default=0, editable=False)),
                ("separator", models.CharField(default="", editable=False, max_length=1)),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="RejectedRows",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("rows", models.JSONField()),
                (
                    "of",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rejected_rows",
                        to="clients.clientimport",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "default_permissions": (),
            },
        ),
        migrations.RunPython(hand_on, migrations.RunPython.noop),
    ]
