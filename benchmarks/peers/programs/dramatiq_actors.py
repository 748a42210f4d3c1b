"""Dramatiq with an actor's message for each of ours, on Redis.

https://dramatiq.io/guide.html: a message is acknowledged after it was processed, and retried when
that fails; one that a dead worker had comes back after `heartbeat_timeout`, a minute.
"""

import os

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from posting import command_line, post

BROKER = os.environ["CELERY_BROKER_URL"]
dramatiq.set_broker(
    RedisBroker(connection_pool=redis.ConnectionPool.from_url(BROKER, max_connections=250))
)


@dramatiq.actor
def send(number):
    """Send one message."""
    post(number)


def queue(count):
    """Queue `count` messages."""
    for number in range(1, count + 1):
        send.send(number)


def left():
    """Count the messages that were not acknowledged."""
    return redis.Redis.from_url(BROKER).hlen("dramatiq:default.msgs")


if __name__ == "__main__":
    command_line(queue, left)
