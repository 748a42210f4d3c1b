"""A migration's indexes on a table that is in use."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db.migrations import AddConstraint, AddIndex, RemoveIndex
from django.db.models import UniqueConstraint


class AddIndexBesideWriters(AddIndexConcurrently):
    """Builds an index concurrently on Postgres, and as always on SQLite, which has one writer.

    The migration is not atomic.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Build the index."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, *states)
        else:
            AddIndex.database_forwards(self, app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Drop it."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, *states)
        else:
            AddIndex.database_backwards(self, app_label, schema_editor, *states)


class RemoveIndexBesideWriters(RemoveIndexConcurrently):
    """Drops an index concurrently on Postgres, and as always on SQLite, which has one writer.

    The migration is not atomic.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Drop the index."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, *states)
        else:
            RemoveIndex.database_forwards(self, app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Build it."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, *states)
        else:
            RemoveIndex.database_backwards(self, app_label, schema_editor, *states)


class AddUniqueIndexBesideWriters(AddConstraint):
    """Builds the index of a conditional UniqueConstraint concurrently on Postgres.

    Without a condition it would be a constraint of the table's, which Postgres builds alone. The
    migration is not atomic.
    """

    constraint: UniqueConstraint

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Build the index."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            sql = str(self.constraint.create_sql(model, schema_editor))
            schema_editor.execute(sql.replace(" INDEX ", " INDEX CONCURRENTLY ", 1))
