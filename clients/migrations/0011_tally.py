"""Have the database itself count clients, whoever writes them: also an earlier version.

On Postgres a statement leaves a row for each kind of client that it changed the number of, so that
writers wait for nobody; `clients.tally` sums them up. SQLite has one writer, who changes the sums.
"""

from django.db import migrations, models

KEYS = "operator_code, tag, timezone"

POSTGRES = (
    f"""
    CREATE FUNCTION tally_clients() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO clients_tallychange ({KEYS}, number)
            SELECT {KEYS}, count(*) FROM new_clients GROUP BY {KEYS};
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO clients_tallychange ({KEYS}, number)
            SELECT {KEYS}, -count(*) FROM old_clients GROUP BY {KEYS};
        ELSIF TG_OP = 'UPDATE' THEN
            INSERT INTO clients_tallychange ({KEYS}, number)
            SELECT {KEYS}, sum(number) FROM (
                SELECT {KEYS}, 1 AS number FROM new_clients
                UNION ALL SELECT {KEYS}, -1 FROM old_clients
            ) AS changed GROUP BY {KEYS} HAVING sum(number) <> 0;
        ELSE
            LOCK TABLE clients_tally, clients_tallychange IN EXCLUSIVE MODE;
            DELETE FROM clients_tally;
            DELETE FROM clients_tallychange;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER tally_added AFTER INSERT ON clients_client
    REFERENCING NEW TABLE AS new_clients
    FOR EACH STATEMENT EXECUTE FUNCTION tally_clients()
    """,
    """
    CREATE TRIGGER tally_changed AFTER UPDATE ON clients_client
    REFERENCING OLD TABLE AS old_clients NEW TABLE AS new_clients
    FOR EACH STATEMENT EXECUTE FUNCTION tally_clients()
    """,
    """
    CREATE TRIGGER tally_deleted AFTER DELETE ON clients_client
    REFERENCING OLD TABLE AS old_clients
    FOR EACH STATEMENT EXECUTE FUNCTION tally_clients()
    """,
    """
    CREATE TRIGGER tally_emptied AFTER TRUNCATE ON clients_client
    FOR EACH STATEMENT EXECUTE FUNCTION tally_clients()
    """,
)
ADD = f"""
    INSERT INTO clients_tally ({KEYS}, number)
    VALUES (NEW.operator_code, NEW.tag, NEW.timezone, 1)
    ON CONFLICT (tag, operator_code, timezone) DO UPDATE SET number = number + 1;
"""
TAKE = """
    UPDATE clients_tally SET number = number - 1
    WHERE tag = OLD.tag AND operator_code = OLD.operator_code AND timezone = OLD.timezone;
"""
SQLITE = (
    f"CREATE TRIGGER tally_added AFTER INSERT ON clients_client BEGIN {ADD} END",
    f"""
    CREATE TRIGGER tally_changed AFTER UPDATE OF {KEYS} ON clients_client
    BEGIN {TAKE} {ADD} END
    """,
    f"CREATE TRIGGER tally_deleted AFTER DELETE ON clients_client BEGIN {TAKE} END",
)
POSTGRES_BACK = (
    *(
        f"DROP TRIGGER tally_{event} ON clients_client"
        for event in ("added", "changed", "deleted", "emptied")
    ),
    "DROP FUNCTION tally_clients()",
)
SQLITE_BACK = tuple(f"DROP TRIGGER tally_{event}" for event in ("added", "changed", "deleted"))


def count(apps, schema_editor):
    _execute(schema_editor, POSTGRES, SQLITE)


def stop_counting(apps, schema_editor):
    _execute(schema_editor, POSTGRES_BACK, SQLITE_BACK)


def _execute(schema_editor, postgres, sqlite):
    is_postgres = schema_editor.connection.vendor == "postgresql"
    for statement in postgres if is_postgres else sqlite:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(statement)


def fields():
    return [
        (
            "id",
            models.BigAutoField(
                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
            ),
        ),
        ("operator_code", models.CharField(max_length=8)),
        ("tag", models.CharField(max_length=64)),
        ("timezone", models.CharField(max_length=63)),
        ("number", models.BigIntegerField()),
    ]


class Migration(migrations.Migration):
    dependencies = [("clients", "0010_changed_since")]

    operations = [
        migrations.CreateModel(
            "Tally",
            fields(),
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tag", "operator_code", "timezone"), name="tally_once_per_kind"
                    )
                ],
            },
        ),
        migrations.CreateModel("TallyChange", fields(), options={"default_permissions": ()}),
        migrations.RunPython(count, stop_counting),
    ]
