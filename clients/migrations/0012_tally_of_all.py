"""Count the clients who were there before the database tallied them.

Nobody waits: one statement reads all clients and what was tallied meanwhile. The migration before
has committed, so whatever this statement does not see is tallied.
"""

from django.db import migrations

KEYS = "operator_code, tag, timezone"


def count(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO clients_tallychange ({KEYS}, number)
            SELECT {KEYS}, sum(number) FROM (
                SELECT {KEYS}, count(*) AS number FROM clients_client GROUP BY {KEYS}
                UNION ALL SELECT {KEYS}, -number FROM clients_tally
                UNION ALL SELECT {KEYS}, -number FROM clients_tallychange
            ) AS counted GROUP BY {KEYS} HAVING sum(number) <> 0
            """
        )


class Migration(migrations.Migration):
    dependencies = [("clients", "0011_tally")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
