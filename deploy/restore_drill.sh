#!/usr/bin/env bash
# Puts a backup back into a database of its own beside the real one, brings it up to date, has it
# prove that every message is accounted for, and deletes it. Nothing is sent, and the real database is
# only read. Exit code 0: the backup is good. See docs/operations.md ("Backups and the past").
#
#   DATABASE_URL=postgres://… SECRET_KEY=… deploy/restore_drill.sh [BACKUP]
#
# BACKUP is a file of pg_dump --format=custom; without one, a backup is made now. Needs pg_dump,
# pg_restore and psql of Postgres's own version, and a role that may create a database.
# PYTHON names the Python of the installation (.venv/bin/python).
set -euo pipefail
backup=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."

if [ -n "${DATABASE_URL_FILE:-}" ]; then DATABASE_URL=$(cat "$DATABASE_URL_FILE"); fi
address=${DATABASE_URL:?name the database, such as postgres://user:password@host/name}
query=${address#"${address%%\?*}"}
server=${address%%\?*}
server=${server%/*}
name=mailing_manager_restore_drill_$$
copy="$server/$name$query"
folder=$(mktemp -d)

clean() {
    psql "$address" -qc "DROP DATABASE IF EXISTS $name WITH (FORCE)"
    rm -rf "$folder"
}
trap clean EXIT

# A broker of its own that is none, and no token: it finds no worker, and nobody to send to.
manage() {
    env -u DATABASE_URL_FILE -u CELERY_BROKER_URL_FILE -u MESSAGE_SENDER_TOKEN_FILE \
        DATABASE_URL="$copy" CELERY_BROKER_URL=memory:// MESSAGE_SENDER_TOKEN="" CACHE_URL="" \
        "${PYTHON:-.venv/bin/python}" manage.py "$@"
}

# By these, and the numbers of clients, the sender knows messages (docs/adr/0015).
keys() {
    psql "$1" -Atqc "SELECT id, sender_key FROM mailings_mailing" | sort
}

if [ -z "$backup" ]; then
    keys "$address" > "$folder/keys"
    backup="$folder/backup"
    pg_dump --format=custom --no-owner --no-privileges --file="$backup" --dbname="$address"
    echo "Backed up: $(du -h "$backup" | cut -f1)."
fi

began=$SECONDS
psql "$address" -qc "CREATE DATABASE $name TEMPLATE template0"
pg_restore --exit-on-error --no-owner --no-privileges --dbname="$copy" "$backup"
echo "Put back in $((SECONDS - began)) s."

manage migrate --no-input -v 0
if [ -f "$folder/keys" ] && [ -n "$(comm -23 "$folder/keys" <(keys "$copy"))" ]; then
    echo "The mailings of the copy have other sender keys: messages would get new ids." >&2
    exit 1
fi
if ! manage shell -v 0 -c '
from messages_app.sending import home
from toolkit import clock
home.check(now=clock.now())
raise SystemExit(not home.restored_at(clock.now()))
'; then
    echo "The copy does not know that it is one: did a worker ever run on the original?" >&2
    exit 1
fi
manage audit --of-backup
echo "The backup is good."
