"""Celery with a task a message, late acknowledgement and no results.

https://docs.celeryq.dev/en/stable/userguide/tasks.html ("Should I use retry or acks_late?", "Ignore
results you don't want") and https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers
/redis.html ("Visibility timeout": an hour, unless it is set).
"""

import os

import redis
from celery import Celery
from posting import command_line, post

BROKER = os.environ["CELERY_BROKER_URL"]
app = Celery("peer", broker=BROKER)
app.conf.task_acks_late = True
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
# redis-py opens 100 connections at most; a greenlet that acknowledges holds one.
app.conf.broker_transport_options = {"visibility_timeout": 60, "max_connections": 250}


@app.task(name="send")
def send(number):
    """Send one message."""
    post(number)


def queue(count):
    """Queue `count` tasks."""
    for number in range(1, count + 1):
        send.delay(number)


def left():
    """Count what is queued, and what a worker has taken and not acknowledged."""
    broker = redis.Redis.from_url(BROKER)
    return broker.llen("celery") + broker.hlen("unacked")


if __name__ == "__main__":
    command_line(queue, left)
