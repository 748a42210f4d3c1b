#!/bin/bash
# Run once, when the database is made.
set -eu
psql --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" -c "ALTER ROLE $POSTGRES_USER REPLICATION"
echo "host replication $POSTGRES_USER all scram-sha-256" >> "$PGDATA/pg_hba.conf"
