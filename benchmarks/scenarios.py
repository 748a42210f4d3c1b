"""Scenarios: what benchmarks do inside an installation, each in a process of its own.

`python -m benchmarks.scenarios NAME JSON` runs one with the arguments of a JSON object, and prints
its result as JSON on the last line.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import django
import psutil
import requests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402  # after the setup
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Max, Min  # noqa: E402
from django.test import Client as Browser  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402
from knox.models import AuthToken  # noqa: E402

from benchmarks import partitions  # noqa: E402
from benchmarks.large import manage_large  # noqa: E402
from benchmarks.load import load  # noqa: E402
from clients.models import Client  # noqa: E402
from mailings import preparing, services  # noqa: E402
from mailings.models import Mailing  # noqa: E402
from mailings.stats import count_of, is_unfinished  # noqa: E402
from mailings.tasks import apply_on_commit, start_mailing  # noqa: E402
from messages_app import sender  # noqa: E402
from messages_app.ledger import folding  # noqa: E402
from messages_app.models import Message  # noqa: E402

LIMIT = 600  # seconds that a delivery may take
# Of the clients of `keep_history`: those of one country.
ZONES = [
    *("Europe/Kaliningrad", "Europe/Moscow", "Europe/Samara", "Asia/Yekaterinburg", "Asia/Omsk"),
    *("Asia/Krasnoyarsk", "Asia/Irkutsk", "Asia/Yakutsk", "Asia/Vladivostok", "Asia/Magadan"),
    "Asia/Kamchatka",
]

Result = dict[str, Any]


def migrate() -> Result:
    """Create the tables, and a superuser named bench."""
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("bench", password="bench")
    return {}


def add_clients(number: int, tags: int = 5) -> Result:
    """Insert `number` clients of ten operators, `tags` tags and two time zones."""
    columns = "phone_number, operator_code, tag, timezone, created_at, updated_at"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)
            INSERT INTO clients_client ({columns})
            SELECT CAST(79000000000 + i AS text), CAST(900 + i %% 10 AS text),
                   CAST('tag' || i %% %s AS text),
                   CASE i %% 2 WHEN 0 THEN 'Europe/Moscow' ELSE 'Asia/Omsk' END,
                   CURRENT_TIMESTAMP, CURRENT_TIMESTAMP
            FROM n
            """,
            [number, tags],
        )
        cursor.execute("ANALYZE")
    return {}


def deliver(number: int, filters: dict[str, Any] | None = None) -> Result:
    """Create a mailing to `number` clients, wait until it is delivered, and return the speed.

    The workers must be running. Messages a second are counted from the creation of the mailing and
    from the first message.
    """
    began_at = timezone.now()
    mailing = _create_mailing(filters)
    apply_on_commit(mailing)
    messages = Message.objects.filter(mailing=mailing)
    give_up_at = time.monotonic() + LIMIT
    while not _is_delivered(mailing, number):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Not delivered in {LIMIT} s: {messages.count_by_status()}")
        time.sleep(0.25)
    sent = messages.aggregate(first=Min("sent_at"), last=Max("sent_at"))
    if messages.filter(status="success").count() != number:
        raise RuntimeError(f"Not everything arrived: {messages.count_by_status()}")
    return {
        "per_second": number / (sent["last"] - began_at).total_seconds(),
        "sending_per_second": number / (sent["last"] - sent["first"]).total_seconds(),
    }


def begin(number: int) -> Result:
    """Forget everything, then plan a mailing to `number` new clients, for workers yet to start."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE mailings_mailing, messages_app_message, clients_client CASCADE")
    add_clients(number)
    mailing = _create_mailing()
    preparing.start_waiting(mailing.pk, now=timezone.now())
    while preparing.plan_chunk(mailing.pk, now=timezone.now()):
        pass
    apply_on_commit(mailing)
    return count_unfinished()


def count_unfinished() -> Result:
    """Count the messages that will be tried yet, by nobody or by a worker."""
    return {"messages": Message.objects.unfinished().count()}


def deliver_small(mailings: int) -> Result:
    """Start mailings at once, each to one tag; return the times until each one's first message.

    The workers must be running.
    """
    now = timezone.now()
    with transaction.atomic():  # Nobody sees one of them before the others.
        ids = [
            services.create_mailing(
                Mailing(
                    start_time=now,
                    stop_time=now + timedelta(hours=2),
                    text="One of many",
                    filters={"tag": f"tag{i}"},
                ),
                now=now,
            ).pk
            for i in range(mailings)
        ]
        began_at = timezone.now()
    for pk in ids:
        start_mailing.delay(pk)
    sent = Message.objects.filter(mailing__in=ids)
    give_up_at = time.monotonic() + LIMIT
    while sent.filter(status="success").values("mailing").distinct().count() < mailings:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Not every mailing began in {LIMIT} s.")
        time.sleep(0.5)
    firsts = sent.filter(status="success").values_list("mailing").annotate(Min("sent_at"))
    return _percentiles([(first - began_at).total_seconds() for _, first in firsts])


def post(number: int) -> Result:
    """Post messages through the product's transport, without a database; return the seconds."""
    transport = sender.transport()
    text = json.dumps("A text as long as the one that the mailing has, to be fair.")
    began_at = time.perf_counter()
    begun = answered = 0
    first = os.getpid() * 10_000_000
    while answered < number:
        for _ in range(min(transport.capacity, number - begun)):
            begun += 1
            transport.submit(sender.Request(first + begun, first + begun, "79000000000", text))
        answers = transport.poll(0.05)
        answered += len(answers)
        if any(not sender.classify(answer).is_success for answer in answers):
            raise RuntimeError("The sandbox refused a message.")
    return {"seconds": time.perf_counter() - began_at}


def deliver_as_usual(number: int) -> Result:
    """Queue one task of the baseline for each message, wait for them, and return the speed."""
    from benchmarks.baseline import send_one  # Here, because it has another Celery application.

    mailing = _create_mailing()
    clients = list(Client.objects.values_list("pk", flat=True)[:number])
    messages = Message.objects.filter(mailing=mailing, status="success")
    began_at = time.perf_counter()
    for client in clients:
        send_one.delay(mailing.pk, client)
    give_up_at = time.monotonic() + LIMIT
    while messages.count() < number:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Not delivered in {LIMIT} s.")
        time.sleep(0.1)
    return {"per_second": number / (time.perf_counter() - began_at)}


def post_many(number: int, url: str, connections: int = 8) -> Result:
    """POST small mailings, several at once; return the times until the first message of each.

    Each mailing goes to one tag. The time is from sending the request to the sender's answer.
    """
    _, token = AuthToken.objects.create(User.objects.get(username="bench"))

    def post_some(first: int) -> dict[int, datetime]:
        began: dict[int, datetime] = {}
        with requests.Session() as session:
            session.headers["Authorization"] = f"Token {token}"
            for i in range(first, number, connections):
                now = timezone.now()
                body = {
                    "start_time": now.isoformat(),
                    "stop_time": (now + timedelta(hours=1)).isoformat(),
                    "text": "One of many",
                    "filters": {"tag": f"tag{i}"},
                }
                answer = session.post(f"{url}/api/v1/mailings/", json=body)
                answer.raise_for_status()
                began[answer.json()["id"]] = now
        return began

    began_at: dict[int, datetime] = {}
    with ThreadPoolExecutor(connections) as pool:
        for some in pool.map(post_some, range(connections)):
            began_at |= some
    sent = Message.objects.filter(mailing__in=began_at, status="success")
    give_up_at = time.monotonic() + LIMIT
    while len(firsts := dict(sent.values_list("mailing").annotate(Min("sent_at")))) < number:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Not every mailing began in {LIMIT} s.")
        time.sleep(0.5)
    return _percentiles([(firsts[pk] - began).total_seconds() for pk, began in began_at.items()])


def wait_for_first(number: int, url: str, stats_url: str) -> Result:
    """POST due mailings, one by one; return the times until the sender had their first message."""
    _, token = AuthToken.objects.create(User.objects.get(username="bench"))
    times = []
    with requests.Session() as session:
        session.headers["Authorization"] = f"Token {token}"
        for _ in range(number):
            before = session.get(stats_url).json()["accepted"]
            now = timezone.now()
            began_at = time.perf_counter()
            answer = session.post(
                f"{url}/api/v1/mailings/",
                json={
                    "start_time": now.isoformat(),
                    "stop_time": (now + timedelta(hours=1)).isoformat(),
                    "text": "Now",
                    "filters": {},
                },
            )
            answer.raise_for_status()
            while session.get(stats_url).json()["accepted"] == before:
                if time.perf_counter() - began_at > 70:
                    raise TimeoutError("Nothing was sent within 70 s.")
                time.sleep(0.002)
            times.append(time.perf_counter() - began_at)
    return _percentiles(times)


def plan(number: int) -> Result:
    """Plan a mailing to all clients in this process; return speed, seconds and memory growth."""
    mailing = _create_mailing()
    preparing.start_waiting(mailing.pk, now=timezone.now())
    preparing.plan_chunk(mailing.pk, now=timezone.now())
    process = psutil.Process()
    before = process.memory_info().rss
    began_at = time.perf_counter()
    while preparing.plan_chunk(mailing.pk, now=timezone.now()):
        pass
    seconds = time.perf_counter() - began_at
    planned = Message.objects.filter(mailing=mailing).count()
    if planned != number:
        raise RuntimeError(f"{planned} messages were planned instead of {number}.")
    return {
        "per_second": (number - preparing.PLAN_CHUNK) / seconds,
        "seconds": seconds,
        "megabytes_grown": (process.memory_info().rss - before) / 1e6,
    }


def add_history(mailings: int, clients: int, running: int) -> Result:
    """Insert mailings with a message to each client: the last ones running, the others finished."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(MAX(id), 0) FROM mailings_mailing")
        (last,) = cursor.fetchone()
        cursor.execute(
            """
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)
            INSERT INTO mailings_mailing (start_time, stop_time, text, filters, status,
                created_at, updated_at, planned_up_to, success_count, fail_count, last_run_time)
            SELECT now() - interval '1 day', now() + interval '1 day', 'Text ' || i, '{}',
                CASE WHEN i > %s THEN 'running' ELSE 'finished' END, now(), now(), 0,
                CASE WHEN i > %s THEN NULL ELSE %s END, CASE WHEN i > %s THEN NULL ELSE %s END,
                now()
            FROM n
            """,
            [
                mailings,
                *(mailings - running, mailings - running),
                *(clients - clients // 100, mailings - running, clients // 100),
            ],
        )
        cursor.execute(
            """
            INSERT INTO messages_app_message (mailing_id, client_id, status, created_at, sent_at,
                attempts, next_attempt_at, queued_at, error_code, error, phone_number, is_manual)
            SELECT mailing.id, client.id,
                CASE WHEN client.id %% 100 = 0 THEN 'fail'
                     WHEN mailing.status = 'running' AND client.id %% 2 = 0 THEN 'pending'
                     ELSE 'success' END,
                now(), now(), 1, due.at, due.at,
                CASE WHEN client.id %% 100 = 0 THEN 'rejected' ELSE '' END, '',
                client.phone_number, false
            FROM mailings_mailing mailing
            CROSS JOIN (SELECT * FROM clients_client ORDER BY id LIMIT %s) client
            CROSS JOIN LATERAL (SELECT CASE WHEN client.id %% 100 <> 0 AND client.id %% 2 = 0
                AND mailing.status = 'running' THEN now() END AS at) due
            WHERE mailing.id > %s
            """,
            [clients, last],
        )
        cursor.execute("VACUUM ANALYZE")
    return {"messages": Message.objects.count()}


def keep_history() -> Result:
    """Take the mailings of `add_history` into the ledger, as if they had been sent for an hour."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO messages_app_posting (mailing_id, at, before, after, number, message_ids)
            SELECT mailing_id, now() - minute * interval '1 minute', '',
                CASE status WHEN 'pending' THEN 'pending||0|' WHEN 'success' THEN 'success||1|'
                    ELSE 'fail|rejected|1|' END || zone,
                number / 660, '\\x00'
            FROM (SELECT mailing_id, status, count(*) AS number FROM messages_app_message
                GROUP BY 1, 2) counted
            CROSS JOIN generate_series(0, 59) AS minute
            CROSS JOIN unnest(%s::text[]) AS zone
            """,
            [ZONES],
        )
        cursor.execute("UPDATE mailings_mailing SET ledger_at = now()")
        cursor.execute("VACUUM ANALYZE")
    folding.fold_all()
    return {}


def count_messages() -> Result:
    """Return the number of all messages."""
    return {"messages": Message.objects.count()}


def count_clients() -> Result:
    """Return the number of all clients."""
    return {"clients": Client.objects.count()}


def look_at_postgres() -> Result:
    """Return the server's process id, its write-ahead log and the messages' disk space in bytes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_backend_pid(), pg_current_wal_lsn() - '0/0',"
            " pg_total_relation_size('messages_app_message')"
        )
        backend, wal, disk = cursor.fetchone()
    return {"pid": psutil.Process(backend).ppid(), "wal": int(wal), "disk": disk}


def compare_partitions(mailings: int, clients: int) -> Result:
    """Compare one table of messages with partitions; see benchmarks.partitions."""
    return partitions.compare(mailings, clients)


def read(paths: list[str], repeats: int) -> Result:
    """GET each path `repeats` times in this process; return times and numbers of queries."""
    browser = Browser(SERVER_NAME="localhost")
    browser.force_login(User.objects.get(username="bench"))
    return {path: _read(browser, path, repeats) for path in paths}


def ask_at_once(**arguments: Any) -> Result:
    """Ask the REST API over several connections; see benchmarks.load. Return times by kind."""
    return {name: _percentiles(times) for name, times in load(**arguments).items()}


def _read(browser: Browser, path: str, repeats: int) -> Result:
    times = []
    with CaptureQueriesContext(connection) as captured:
        _get(browser, path)
    queries = len(captured)
    for _ in range(repeats):
        began_at = time.perf_counter()
        _get(browser, path)
        times.append(time.perf_counter() - began_at)
    return {**_percentiles(times), "queries": queries}


def _percentiles(times: list[float]) -> Result:
    """Return median, 95th percentile and maximum of times in seconds, as milliseconds."""
    times = sorted(times)
    return {
        "p50_ms": times[len(times) // 2] * 1000,
        "p95_ms": times[int(len(times) * 0.95)] * 1000,
        "most_ms": times[-1] * 1000,
    }


def _get(browser: Browser, path: str) -> None:
    response = browser.get(path)
    if response.status_code != 200:
        raise RuntimeError(f"{path} answered {response.status_code}: {response.content[:200]!r}")


def _create_mailing(filters: dict[str, Any] | None = None) -> Mailing:
    now = timezone.now()
    return services.create_mailing(
        Mailing(
            start_time=now,
            stop_time=now + timedelta(hours=2),
            text="A text as long as the one that the mailing has, to be fair.",
            filters=filters or {},
        ),
        now=now,
    )


def _is_delivered(mailing: Mailing, number: int) -> bool:
    return count_of(mailing) >= number and not is_unfinished(mailing)


SCENARIOS: dict[str, Callable[..., Result]] = {
    scenario.__name__: scenario
    for scenario in (
        migrate,
        add_clients,
        deliver,
        deliver_as_usual,
        begin,
        count_unfinished,
        deliver_small,
        post,
        post_many,
        wait_for_first,
        plan,
        manage_large,
        add_history,
        keep_history,
        count_messages,
        count_clients,
        look_at_postgres,
        compare_partitions,
        read,
        ask_at_once,
    )
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](**json.loads(sys.argv[2]))))  # noqa: T201  # its result
