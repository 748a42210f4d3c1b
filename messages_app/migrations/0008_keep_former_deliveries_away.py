"""Keep deliveries of an earlier version away from mailings whose sender ids they do not know.

Such a delivery would send a message under its own id, and this version has sent it, or will, under
its sender id. The lease tokens of earlier versions are above 0, ours below. When an earlier version
is refused its lease, it takes the mailing for deleted, ends in peace and rings for the next worker.
"""

from django.db import migrations

REFUSAL = "an earlier version may not deliver this mailing"

POSTGRES = (
    f"""
    CREATE FUNCTION refuse_lease_of_former_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM mailings_mailing WHERE id = NEW.mailing_id AND sender_key IS NOT NULL
        ) THEN
            RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER refuse_lease_of_former_version BEFORE INSERT ON messages_app_lease
    FOR EACH ROW WHEN (NEW.token > 0) EXECUTE FUNCTION refuse_lease_of_former_version()
    """,
)
SQLITE = (
    f"""
    CREATE TRIGGER refuse_lease_of_former_version BEFORE INSERT ON messages_app_lease
    WHEN NEW.token > 0 AND EXISTS (
        SELECT 1 FROM mailings_mailing WHERE id = NEW.mailing_id AND sender_key IS NOT NULL
    )
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END
    """,
)
POSTGRES_BACK = (
    "DROP TRIGGER refuse_lease_of_former_version ON messages_app_lease",
    "DROP FUNCTION refuse_lease_of_former_version()",
)
SQLITE_BACK = ("DROP TRIGGER refuse_lease_of_former_version",)


def refuse(apps, schema_editor):
    _execute(schema_editor, POSTGRES, SQLITE)


def admit(apps, schema_editor):
    _execute(schema_editor, POSTGRES_BACK, SQLITE_BACK)


def _execute(schema_editor, postgres, sqlite):
    is_postgres = schema_editor.connection.vendor == "postgresql"
    for statement in postgres if is_postgres else sqlite:
        # Not schema_editor.execute(): that would read a per cent sign as a parameter.
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [
        ("messages_app", "0007_numbers_of_deleted_clients"),
        ("mailings", "0004_ledger_texts_sender_ids"),
    ]
    operations = [migrations.RunPython(refuse, admit)]
