"""Leave room on Postgres's pages, so that a claim rewrites a message where it stands."""

from django.db import migrations

FILL = 50  # per cent of a page that planning fills


def set_fill_factor(apps, schema_editor):
    """Tell Postgres; other databases have no such thing."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE messages_app_message SET (fillfactor = {FILL})")


class Migration(migrations.Migration):
    """A claim then writes no index at all (a heap-only update)."""

    dependencies = [("messages_app", "0001_initial")]
    operations = [migrations.RunPython(set_fill_factor, migrations.RunPython.noop)]
