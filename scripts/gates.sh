#!/bin/sh
# Every gate but the tests; the same here and in .ci/run. Usage: scripts/gates.sh VENV/bin
set -eu
bin=$1

var=$(mktemp -d)
trap 'rm -rf "$var"' EXIT
export VAR_DIR="$var" SECRET_KEY=only-for-the-gates

say() { printf '\n== %s\n' "$1"; }

say "ruff: mistakes and layout"
"$bin/ruff" check .
"$bin/ruff" format --check .

say "lock: what is installed is what is required"
"$bin/python" -m scripts.lock --check

say "mypy: types"
"$bin/mypy" .

say "import-linter: rooms and floors"
"$bin/lint-imports" --no-logo
"$bin/python" scripts/rooms.py

say "translations: all of the console is Russian, too"
"$bin/python" -m scripts.translations --check

say "bandit: security"
"$bin/bandit" --quiet --recursive --configfile pyproject.toml .

say "migrations: complete, and safe on a large table"
"$bin/python" manage.py makemigrations --check --dry-run
PYTHONPATH=. "$bin/python" scripts/lint_migrations.py

say "OpenAPI: valid and complete"
"$bin/python" manage.py spectacular --validate --fail-on-warn --file "$var/openapi.yaml"
"$bin/openapi-spec-validator" "$var/openapi.yaml"
"$bin/python" -m tests.contract.node redocly lint \
    --config tests/contract/redocly.yaml --format stylish "$var/openapi.yaml"

say "OpenAPI: as it is checked in"
if ! diff -u docs/openapi.yaml "$var/openapi.yaml"; then
    echo "docs/openapi.yaml is not what the code makes: above, - is checked in and + is made now."
    echo "Run 'make schema', read what it changes for programs that call us, and commit the file."
    exit 1
fi

say "OpenAPI: breaks no program written for the last release"
"$bin/python" -m scripts.breaking_changes

say "check --deploy: a production environment"
SECRET_KEY=$("$bin/python" -c "import secrets; print(secrets.token_urlsafe(64))") \
ALLOWED_HOSTS=mailing.example.com MESSAGE_SENDER_TOKEN=token DEBUG=False TRUSTED_PROXIES=1 \
DATABASE_URL=postgres://mailing@127.0.0.1/mailing \
    "$bin/python" manage.py check --deploy --fail-level WARNING
