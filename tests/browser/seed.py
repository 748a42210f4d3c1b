"""An installation in which everything has happened that an operator may see."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import time, timedelta
from functools import partial
from itertools import cycle, islice
from time import monotonic, sleep
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client as Browser
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from knox.models import AuthToken

from clients import changing
from clients.imports import uploads
from clients.models import Client, ClientChange
from mailings import services
from mailings.models import Mailing
from mailings.stats import detailed_stats
from mailings.tasks import apply_on_commit, finish_mailing
from messages_app.models import ErrorCode, Message
from messages_app.sending import control
from messages_app.services import add_message, confirm_message, withdraw_message
from reports.models import Recipient
from reports.services import save_recipient
from toolkit.access.tokens import create_token
from toolkit.history.actors import Actor, Door, acting
from webhooks.models import Delivery, EventName, Webhook
from webhooks.services import add_webhook, try_webhook

PASSWORD = "Long-enough-1"
ROLES = {"anna": "administrators", "oleg": "operators", "vera": "viewers"}
APPROVAL_ABOVE = 250  # clients; the installation's MAILING_APPROVAL_ABOVE
ENVIRONMENT = {
    "MAILING_APPROVAL_ABOVE": str(APPROVAL_ABOVE),
    # Whether a message arrived is for people to decide, and a receiver of webhooks is here.
    "MESSAGE_SENDER_IDEMPOTENT": "False",
    "WEBHOOKS_ALLOW_PRIVATE": "True",
    "API_LOGIN_RATE": "3/hour",
}
PATIENCE = 60  # seconds; the machine may be busy with other tests
CLIENTS = 320
ZONES = (
    *("Europe/Moscow", "Europe/Kaliningrad", "Asia/Yekaterinburg", "Asia/Novosibirsk"),
    *("Europe/Berlin", "Asia/Almaty", "Asia/Vladivostok"),
)
TAGS = ("vip", "new", "newsletter", "")
BAD_ROWS = ("12,926,vip,Europe/Moscow", "79260000001,abc,,UTC", "79260000002,926,,Europe/Moskow")
TROUBLES = {"bad_request": 0.07, "server_error": 0.05, "reset_after": 0.03, "wrong_code": 0.04}
SALE = "Summer sale: 20 % off until Sunday. Show this message at the till."
PICK_UP = "Your parcel is ready. Pick it up between 10:00 and 21:00, the code is 4711."
EXAMPLES = 2  # of each model, whose pages are looked at

opener = build_opener(ProxyHandler({}))
Status = Mailing.Status


def fill(control_url: str, *hooks: str) -> None:
    """Fill the installation of this process, whose programs run; print {model: ids to look at}.

    Args:
        control_url: where faults of its sandbox sender are set.
        hooks: receivers of webhooks, one of which says that it is gone.
    """
    Scene(control_url, hooks).fill()
    print(json.dumps(_examples()))  # noqa: T201


def add_users() -> dict[str, User]:
    """Add somebody of each role, by name."""
    return {name: _add_user(name, group) for name, group in ROLES.items()}


class Scene:
    """What is done to an installation, and by whom."""

    def __init__(self, control_url: str, hooks: tuple[str, ...]) -> None:
        self.control_url, self.hooks = control_url, hooks
        self.users = add_users()

    def fill(self) -> None:
        """Have everything happen; what takes a while goes on beside the rest."""
        self._imports()
        self._webhooks()
        short = self._failing()
        self._sent()
        with self.by("oleg"):
            self._to_come()
            self._drafts()
        self._access()
        _wait_until(lambda: timezone.now() > short.stop_time)
        finish_mailing(short.pk)
        _wait_until(lambda: Mailing.objects.get(pk=short.pk).is_closed)
        self._under_way()
        states = Delivery.objects.filter(attempts__gt=0).values_list("state", flat=True)
        _wait_until(lambda: {"pending", "delivered", "failed"} <= set(states.all()))

    @contextmanager
    def by(self, name: str) -> Iterator[User]:
        """Have what is done meanwhile be done in the console by somebody."""
        user = self.users[name]
        with acting(partial(Actor, Door.CONSOLE, user.pk, name)):
            yield user

    def faults(self, **faults: object) -> None:
        """Have the sandbox make exactly these."""
        body = json.dumps({**faults, "seed": 1}).encode()
        opener.open(Request(f"{self.control_url}/faults", body, method="PUT")).close()

    def mailing(self, text: str, *, stop: timedelta = timedelta(days=1), **fields: Any) -> Mailing:
        """Create a mailing, for operator 926 unless the fields say otherwise."""
        now = timezone.now()
        filters = {"filters": {"operator_code": ["926"]}}
        times = {"start_time": now, "stop_time": now + stop}
        mailing = Mailing(text=text, **{**filters, **times, **fields})
        with transaction.atomic():
            services.create_mailing(mailing, now=now)
            apply_on_commit(mailing)
        return mailing

    def _imports(self) -> None:
        with self.by("oleg") as user:
            rows = [*islice(_rows(), CLIENTS), *BAD_ROWS]
            job = uploads.start_import(_file("clients.csv", rows), on_known="update", user=user)
            _wait_until(lambda: type(job).objects.get(pk=job.pk).status == "finished")
            uploads.keep_upload(_file("more.csv", [*rows[:3], *BAD_ROWS]), user=user)
            chosen = {"timezone": "Europe/Berlin"}
            changing.order_change(chosen, what="tag", value="berlin", number=40, user=user)

    def _webhooks(self) -> None:
        with self.by("anna"):
            # The sandbox takes no webhooks, so that what is told there is tried again.
            for url in (*self.hooks, f"{self.control_url}/hook"):
                webhook = Webhook(url=url, events=[EventName.STARTED, EventName.PAUSED])
                add_webhook(webhook)
                try_webhook(webhook, now=timezone.now())

    def _failing(self) -> Mailing:
        """Send with failures of several kinds, to be over in a moment."""
        self.faults(**TROUBLES)
        with self.by("oleg"):
            mailing = self.mailing(SALE, filters={"tag": ["newsletter"]})
            _wait_until(lambda: _sent(mailing) > 50)
            mailing = Mailing.objects.get(pk=mailing.pk)
            mailing.stop_time = timezone.now() + timedelta(seconds=2)
            services.edit_mailing(mailing, now=timezone.now())
        self.faults()
        return mailing

    def _sent(self) -> None:
        """Have mailings of which everything is sent: one waits for clients, one is over."""
        with self.by("oleg"):
            complete = self.mailing(PICK_UP, filters={"tag": ["vip"]})
            finished = self.mailing("Thank you for your order!", filters={"tag": ["new"]})
            _wait_until(lambda: all(_is_complete(each) for each in (complete, finished)))
            services.end_mailing(finished)
            client = Client.objects.filter(tag="")[0]
            add_message(mailing=complete, client=client, now=timezone.now())

    def _to_come(self) -> None:
        self.mailing(
            "Tomorrow we open an hour later.",
            start_time=timezone.now() + timedelta(days=2),
            stop=timedelta(days=3),
        )
        cancelled = self.mailing("This went to the wrong people.", stop=timedelta(hours=3))
        services.cancel_mailing(cancelled)
        at = _shut_hour()
        hours: dict[str, Any] = {"window_start": at, "window_end": at.replace(minute=30)}
        self.mailing("Good morning! Breakfast until noon.", stop=timedelta(days=2), **hours)

    def _drafts(self) -> None:
        draft: dict[str, Any] = {"status": Status.DRAFT}
        self.mailing("Autumn collection — new in “our” shops…", **draft)
        self.mailing("To everybody: our number has changed.", **draft, filters={})
        approved = self.mailing("Winter tyres are here.", **draft, filters={})
        with self.by("anna"):
            services.approve_mailing(approved, now=timezone.now())
        deleted = self.mailing("Nobody needs this.", **draft)
        services.delete_mailing(deleted, now=timezone.now())

    def _access(self) -> None:
        with self.by("anna") as user:
            create_token(user, name="CRM", scope="read")
            create_token(user, name="Shop", days=30)
            save_recipient(Recipient(address="anna@example.com", language="ru"))
            hourly, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
            PeriodicTask.objects.create(name="Reports", task="start_mailing", interval=hourly)
            control.change(is_paused=True, pause_reason="The sender moves")
            control.change(is_paused=False)
        stranger = Browser(SERVER_NAME="localhost")
        for name, number in (("oleg", 1), ("root", 4)):
            for _ in range(number):
                form = {"username": name, "password": "guessed"}
                stranger.post("/admin/login/", form, REMOTE_ADDR="192.0.2.7")

    def _under_way(self) -> None:
        """Leave mailings under way, which nothing will move much from now on."""
        with self.by("oleg"):
            self.faults(**TROUBLES)
            control.change(rate=20)
            running = self.mailing(SALE.replace("Summer", "Last summer"))
            _wait_until(lambda: _sent(running) > 40)
            control.change(rate=0.2)
            late = self.mailing("Until noon only: free coffee.", stop=timedelta(hours=2))
            paused = self.mailing("The app has a new version.", filters={"tag": ["vip", "new"]})
            _wait_until(lambda: all(_planned(each) for each in (late, paused)))
            services.pause_mailing(paused)
            now = timezone.now()
            edited = Mailing.objects.get(pk=running.pk)
            edited.text += " Also online."
            services.edit_mailing(edited, now=now)
            untried = Message.objects.filter(mailing=paused, attempts=0)
            withdraw_message(untried[0], now=now)
            if unclear := Message.objects.filter(error_code=ErrorCode.UNCONFIRMED).first():
                confirm_message(unclear, now=now)


def _add_user(name: str, group: str) -> User:
    user = User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=True)
    user.groups.set([Group.objects.get(name=group)])
    return user


def _examples() -> dict[str, list[Any]]:
    """Return {model: ids of rows whose pages are worth a look}, of all models of the console."""
    found = {
        model._meta.label_lower: list(
            model._default_manager.values_list("pk", flat=True)[:EXAMPLES]
        )
        for model in admin.site._registry
    }
    found["mailings.mailing"] = list(Mailing.objects.values_list("pk", flat=True))
    by_kind = {each.error_code or each.status: each.pk for each in Message.objects.all()}
    found["messages_app.message"] = list(by_kind.values())
    deliveries = {each.state: each.pk for each in Delivery.objects.all()}
    found["webhooks.delivery"] = list(deliveries.values())
    # Addresses have the beginning of a token, and not its hash.
    found["knox.authtoken"] = list(AuthToken.objects.values_list("token_key", flat=True))
    custom = PeriodicTask.objects.get(name="Reports").pk
    found["django_celery_beat.periodictask"].append(custom)
    found["clients.clientchange"] = list(ClientChange.objects.values_list("pk", flat=True))
    return found


def _wait_until(condition: Callable[[], object]) -> None:
    """Wait for what the workers do."""
    deadline = monotonic() + PATIENCE
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError("It has not come to pass.")
        sleep(0.05)


def _rows() -> Iterator[str]:
    for number, (zone, tag) in enumerate(zip(cycle(ZONES), cycle(TAGS), strict=False)):
        code = "926" if number % 3 else "999"
        phone = f"+7 {code} {number % 1000:03}-{10 + number % 89}-{number % 97:02}"
        yield f"{phone},{code},{tag},{zone}"


def _file(name: str, rows: list[str]) -> SimpleUploadedFile:
    lines = ["phone_number,operator_code,tag,timezone", *rows]
    return SimpleUploadedFile(name, "\n".join(lines).encode())


def _stats(mailing: Mailing) -> Any:
    return detailed_stats(Mailing.objects.get(pk=mailing.pk))


def _sent(mailing: Mailing) -> int:
    return int(_stats(mailing)["stats"]["success"])


def _planned(mailing: Mailing) -> int:
    return int(_stats(mailing)["stats"]["total"])


def _is_complete(mailing: Mailing) -> bool:
    return bool(_stats(mailing)["is_complete"])


def _shut_hour() -> time:
    """Return an hour that comes in none of the zones within the next ten."""
    hours = {timezone.now().astimezone(each).hour for each in map(ZoneInfo, ZONES)}
    return time(max(range(24), key=lambda hour: min((hour - each - 1) % 24 for each in hours)))
