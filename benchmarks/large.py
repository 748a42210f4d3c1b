"""One large mailing: what a request about it takes, and what others wait for it meanwhile.

Workers run, and send slowly, so that millions of its messages are left.
"""

import sys
import time
from collections import UserDict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.utils import timezone

from mailings import preparing, services
from mailings.models import Mailing
from mailings.tasks import start_mailing
from messages_app.models import Message
from messages_app.sending import control

LIMIT = 3600  # seconds until whatever is waited for has failed
SMALL = "small"  # the tag of a hundred clients, to whom small mailings go

Result = dict[str, float]


class _Diary(UserDict[str, float]):
    """What was measured, told on standard error at once: all of it takes half an hour and more."""

    def __setitem__(self, name: str, seconds: float) -> None:
        super().__setitem__(name, seconds)
        sys.stderr.write(f"  {name}: {seconds:.3f} s\n")


def manage_large(number: int, latency: float) -> Result:
    """Plan a mailing to `number` clients, then read, edit, cancel and delete it; return seconds.

    `*_request` is what the request took, `*_done` until all its messages have followed, and
    `*_other` the longest time that a small mailing meanwhile took until its first request began,
    with a sender that takes `latency` seconds.
    """
    browser = Browser(SERVER_NAME="localhost")
    browser.force_login(User.objects.get(username="bench"))
    mailing = _planned(number)
    path = f"/api/v1/mailings/{mailing.pk}/"
    found = _Diary()
    for name, address in {
        "stats": f"{path}stats/",
        "list": "/api/v1/mailings/stats/",
        "panel": f"/admin/mailings/mailing/{mailing.pk}/panel/",
        "home": "/admin/",
    }.items():
        found[name] = min(_request(browser.get, address) for _ in range(5))
    found["replan"] = _replan(mailing)

    def edit(**values: Any) -> Callable[[], float]:
        return lambda: _request(browser.patch, path, values, content_type="application/json")

    Message.objects.filter(mailing=mailing, pk__lte=_last_id(mailing, number // 2)).schedule(
        timezone.now() + timedelta(hours=1)
    )
    stop = timezone.now() + timedelta(hours=5)
    requeued = Mailing.objects.filter(pk=mailing.pk, deferred_up_to=None, failed_up_to=None)
    closed = Mailing.objects.exclude(success_count=None).filter(pk=mailing.pk)
    for name, act, is_done in (
        ("window", edit(window_start="00:00", window_end="23:59"), requeued.exists),
        ("extend", edit(stop_time=stop.isoformat()), requeued.exists),
        ("cancel", lambda: _request(browser.post, f"{path}cancel/"), closed.exists),
        ("delete", lambda: _request(browser.delete, path), lambda: not _is_left(mailing)),
    ):
        for key, value in _watch(act, is_done, latency).items():
            found[f"{name}_{key}"] = value
    return dict(found)


def _planned(number: int) -> Mailing:
    """Save, plan and return a mailing to everyone, of which nothing is sent while that lasts."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE clients_client SET tag = %s WHERE id <= 100", [SMALL])
    control.change(is_paused=True)
    now = timezone.now()
    times = {"start_time": now, "stop_time": now + timedelta(hours=4)}
    mailing = services.create_mailing(Mailing(**times, text="Large"), now=now)
    preparing.start_waiting(mailing.pk, now=now)
    while preparing.plan_chunk(mailing.pk, now=timezone.now()):
        pass
    if Message.objects.filter(mailing=mailing).count() != number:
        raise RuntimeError("Not every client has a message.")
    control.change(is_paused=False)
    return mailing


def _replan(mailing: Mailing) -> float:
    """Look through all clients again, all of whom have a message; return the seconds."""
    Mailing.objects.filter(pk=mailing.pk).update(last_run_time=timezone.now() - timedelta(days=1))
    began_at = time.perf_counter()
    while preparing.plan_chunk(mailing.pk, now=timezone.now()):
        pass
    return time.perf_counter() - began_at


def _watch(act: Callable[[], float], is_done: Callable[[], bool], latency: float) -> Result:
    """Act; start small mailings until it is done; return the three times."""
    request, began_at = act(), time.perf_counter()
    waits = [_small_mailing()]
    while not is_done():
        if time.perf_counter() - began_at > LIMIT:
            raise TimeoutError(f"Not done in {LIMIT} s.")
        waits.append(_small_mailing())
    done = time.perf_counter() - began_at
    return {"request": request, "done": done, "other": max(waits) - latency}


def _small_mailing() -> float:
    """Start a mailing to a hundred clients; return the seconds to its first message."""
    now = timezone.now()
    times = {"start_time": now, "stop_time": now + timedelta(hours=1)}
    mailing = Mailing(**times, text="Small", filters={"tag": SMALL})
    services.create_mailing(mailing, now=now)
    began_at = time.perf_counter()
    start_mailing.delay(mailing.pk)
    sent = Message.objects.filter(mailing=mailing, status="success")
    while not sent.exists():
        if time.perf_counter() - began_at > 120:
            raise TimeoutError("A small mailing has waited for 120 s.")
        time.sleep(0.01)
    return time.perf_counter() - began_at


def _last_id(mailing: Mailing, number: int) -> int:
    ids = Message.objects.filter(mailing=mailing).order_by("pk").values_list("pk", flat=True)
    return int(ids[number - 1])


def _is_left(mailing: Mailing) -> bool:
    return Mailing.including_deleted.filter(pk=mailing.pk).exists()


def _request(send: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    began_at = time.perf_counter()
    response = send(*arguments, **options)
    if response.status_code >= 300:
        raise RuntimeError(f"{arguments[0]} answered {response.status_code}: {response.content!r}")
    return time.perf_counter() - began_at
