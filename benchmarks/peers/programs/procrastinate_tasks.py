"""Procrastinate with an asynchronous job a message, on Postgres.

https://procrastinate.readthedocs.io: jobs are deferred in a batch, run concurrently, and a
periodic task retries those whose worker is gone ("Retry stalled jobs"; there every ten minutes,
here every minute).
"""

import os

import aiohttp
import psycopg
from posting import HEADERS, TIMEOUT, command_line, url_and_body
from procrastinate import App, PsycopgConnector, RetryStrategy

DATABASE = os.environ["PEER_DATABASE_URL"]
app = App(connector=PsycopgConnector(conninfo=DATABASE))
_sessions = []


def _session():
    if not _sessions:
        connections = aiohttp.TCPConnector(limit=0)  # as many as there are jobs at once
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        _sessions.append(
            aiohttp.ClientSession(connector=connections, timeout=timeout, headers=HEADERS)
        )
    return _sessions[0]


@app.task(name="send", queue="messages", retry=RetryStrategy(max_attempts=5, wait=1))
async def send(number):
    """Send one message."""
    url, body = url_and_body(number)
    async with _session().post(url, json=body, raise_for_status=True):
        pass


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context, timestamp):
    """Take back the jobs of workers that show no sign of life."""
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


def queue(count):
    """Make the tables, and defer `count` jobs."""
    with app.open():
        app.schema_manager.apply_schema()
        send.batch_defer(*({"number": number} for number in range(1, count + 1)))


def left():
    """Count the jobs that wait, or that a worker has or had."""
    with psycopg.connect(DATABASE) as connection:
        row = connection.execute(
            "SELECT count(*) FROM procrastinate_jobs"
            " WHERE queue_name = 'messages' AND status IN ('todo', 'doing')"
        ).fetchone()
    return row[0]


if __name__ == "__main__":
    command_line(queue, left)
