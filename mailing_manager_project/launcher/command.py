"""The command line of main.py.

It prepares the installation, then runs the web server, beat and the workers, and what else is
missing: a Redis, and without a sender token the sandbox sender. It starts again what dies, and
takes everything down with it on Ctrl-C or SIGTERM.

Exit code: 0 after a requested stop; 1 when something could not be kept running, or the demo
failed; 2 when it cannot start like this.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import NoReturn

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections

from mailing_manager_project.environment import BASE_DIR, VAR_DIR, SetupError, env
from mailing_manager_project.launcher import installation, programs
from mailing_manager_project.launcher.broker import Broker, choose_broker
from mailing_manager_project.launcher.log_stream import LogStream
from mailing_manager_project.launcher.process import Program
from mailing_manager_project.launcher.programs import LOCALHOST
from mailing_manager_project.launcher.supervisor import Limits, Supervisor
from mailing_manager_project.launcher.watchdog import Watchdog, stall_timeout

JOURNAL = VAR_DIR / "sandbox_journal"  # what the sandbox sender accepted
SANDBOX_NOTICE = "No MESSAGE_SENDER_TOKEN: all goes to the sandbox, NOTHING LEAVES THIS MACHINE."
PROXY_NOTICE = (
    "The web server can be reached from other machines. Put a proxy in front of it that ends TLS "
    "and takes in requests whole (docs/operations.md): it has threads for few slow clients only."
)
RULE = "=" * 78

logger = logging.getLogger("main")


def main() -> int:
    """Run everything, and return the exit code."""
    options = parse_arguments()
    os.umask(0o077)  # What we and our programs write is nobody else's to read.
    os.chdir(BASE_DIR)  # where the programs find the code
    try:
        if options.only:
            become(options)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with installation.hold_folder(), choose_broker() as broker:
            sandbox_port = prepare(options, broker)
            return run(options, broker, sandbox_port)
    except (SetupError, PermissionError) as error:
        sys.stderr.write(f"Mailing Manager cannot start. {error}\n")
        return 2
    except KeyboardInterrupt:
        return 0


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or these words in its place."""
    parser = argparse.ArgumentParser(
        description="Run Mailing Manager: web server, beat, workers, and what they need.",
        epilog="Settings come from the environment and .env; see .env.example.",
    )
    parser.add_argument("--host", default=LOCALHOST, help="address to serve (%(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="port to serve (%(default)s)"
    )
    parser.add_argument(
        "--sandbox-port",
        type=port_number,
        default=8025,
        help="port of the sandbox sender, or the next one that is free (%(default)s)",
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="send a sample mailing to sample clients, in the sandbox; "
        "without a terminal, stop when it is delivered",
    )
    parser.add_argument(
        "--only",
        choices=[program.name for program in own_programs(LOCALHOST, 0, sending=1)],
        help="become one of our own programs, where systemd or Kubernetes restart them",
    )
    parser.add_argument(
        "--processes",
        type=process_number,
        help="with --only=messages: sending processes of this host (MESSAGE_SENDER_PROCESSES, "
        "which is their number on all hosts together)",
    )
    options = parser.parse_args(words)
    if options.only and options.demo:
        parser.error("--demo needs all programs; leave out --only.")
    if options.processes and options.only != "messages":
        parser.error("--processes is for --only=messages.")
    return options


def port_number(text: str) -> int:
    """Return the number of a port, or refuse it."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: choose one from 1 to 65535.")
    return int(text)


def own_programs(host: str, port: int, *, sending: int) -> list[Program]:
    """Return the programs that are ours, with so many sending processes."""
    return [
        programs.web(host, port),
        programs.beat(),
        programs.worker("mailings", processes=1),
        programs.worker("imports", processes=1),
        programs.worker("messages", processes=sending),
        programs.worker("webhooks", processes=1),
    ]


def become(options: argparse.Namespace) -> NoReturn:
    """Replace this process by one of the programs. Nothing is made and nothing else is started.

    Raises:
        SetupError: a setting is wrong, or cannot work here.
    """
    # That there is no token is nothing to the others, who are not given it.
    is_sending = options.only in ("web", "messages")
    installation.load_settings(besides=[] if is_sending else ["mailing_manager.W001"])
    sending = options.processes or settings.MESSAGE_SENDER_PROCESSES
    each = {it.name: it for it in own_programs(options.host, options.port, sending=sending)}
    program = each[options.only]
    environment = {**os.environ, **program.environment}
    os.execve(program.command[0], [*program.command], environment)  # nosec B606  # our own command


def process_number(text: str) -> int:
    """Return a number of processes, or refuse it."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes: write 1 or more.")
    return int(text)


def prepare(options: argparse.Namespace, broker: Broker) -> int:
    """Make what is missing, and replay what the programs will find in their environment.

    Return the port of the sandbox sender; 0 when there is a token, and thus no sandbox.

    Raises:
        SetupError: it cannot start like this.
    """
    installation.check_port(options.host, options.port)
    os.environ["CELERY_BROKER_URL"] = broker.url
    sandbox_port = 0
    if not env.str("MESSAGE_SENDER_TOKEN", default="").strip():
        sandbox_port = installation.find_port(
            LOCALHOST, options.sandbox_port, other_than=options.port
        )
        # Whatever address is set: without a token nothing leaves this machine.
        os.environ["MESSAGE_SENDER_URL"] = f"http://{LOCALHOST}:{sandbox_port}/v1"
        os.environ["MESSAGE_SENDER_TOKEN"] = programs.SANDBOX_TOKEN
        os.environ.pop("MESSAGE_SENDER_TOKEN_FILE", None)  # It would count more.
    elif options.demo:
        raise SetupError(
            "MESSAGE_SENDER_TOKEN is set, and the demo must not send its sample to real people. "
            "Leave the token empty for the demo."
        )
    installation.make_secret_key()
    if (options.demo or sys.stdout.isatty()) and not env.str("LOG_FORMAT", default=""):
        os.environ["LOG_FORMAT"] = "console"
    installation.load_settings()
    os.environ["LOG_FORMAT"] = settings.LOG_FORMAT  # What the programs write to is no terminal.
    installation.prepare_database()
    return sandbox_port


def run(options: argparse.Namespace, broker: Broker, sandbox_port: int) -> int:
    """Keep the programs running until a stop is asked for; return the exit code."""
    stages = list_programs(options, broker, sandbox_port)
    names = [program.name for stage in stages for program in stage]
    stream = LogStream(names, is_json=settings.LOG_FORMAT == "json")
    log = logging.getLogger()
    stream.setFormatter(log.handlers[0].formatter)
    log.handlers = [stream]
    logger.info("Starting %s.", ", ".join(names))
    if broker.command:
        logger.info("This Redis is for a first run; set CELERY_BROKER_URL in production.")
    if sandbox_port:
        logger.warning(SANDBOX_NOTICE)
    if not programs.is_local(options.host):
        logger.warning(PROXY_NOTICE)
    # A delivery waits for the answers that are open at the stop, and writes them.
    limits = Limits(stop=settings.MESSAGE_SENDER_TIMEOUT + 10)
    supervisor = Supervisor(stages, on_line=stream.show, limits=limits)
    Watchdog(broker, supervisor.restart, stall_timeout=stall_timeout()).start()
    announcement = partial(announce, stream, options, sandbox_port)
    if not options.demo:
        return supervisor.run(announcement)
    demo = Thread(target=deliver_sample, args=[supervisor, stream, announcement], daemon=True)
    return supervisor.run(demo.start)


def list_programs(
    options: argparse.Namespace, broker: Broker, sandbox_port: int
) -> list[list[Program]]:
    """Return the programs in stages: those of each need those before it."""
    return [
        [programs.redis(broker)] if broker.command else [],
        [programs.sandbox(sandbox_port, JOURNAL)] if sandbox_port else [],
        own_programs(options.host, options.port, sending=settings.MESSAGE_SENDER_PROCESSES),
    ]


def announce(stream: LogStream, options: argparse.Namespace, sandbox_port: int) -> None:
    """Write where everything is, how to log in and how to stop."""
    site = f"http://{programs.address(programs.reachable(options.host), options.port)}"
    lines = [f"Admin          {site}/admin/", f"Swagger UI     {site}/api/v1/docs/"]
    if sandbox_port:
        lines += [f"Sandbox inbox  http://{LOCALHOST}:{sandbox_port}/", "", SANDBOX_NOTICE]
    lines += ["", *how_to_log_in(), "Ctrl-C stops everything."]
    stream.write("\n".join([RULE, "Mailing Manager is running.", "", *lines, RULE]))


def how_to_log_in() -> list[str]:
    """Return the lines about it, with the password of the first account if it is made now."""
    try:
        # Made only now, so that a password that was never shown is not lost.
        password = installation.make_first_account()
    except DatabaseError:
        return ["The database has just gone away. If you have no account yet: start again later."]
    finally:
        connections.close_all()
    if not password:
        return ["Log in as before. Forgotten: python manage.py changepassword NAME"]
    return [
        f"LOG IN as {installation.ADMIN} with the password {password}",
        "It is shown only this once; the first login asks for another one.",
    ]


def deliver_sample(
    supervisor: Supervisor, stream: LogStream, announcement: Callable[[], None]
) -> None:
    """Run the demo beside the programs; then stop them, unless somebody is there to look."""
    # Models can be imported only now that Django is set up.
    from mailing_manager_project.launcher.demo import run_demo

    code = 1
    try:
        is_good = run_demo(journal=JOURNAL, write=stream.write, is_stopping=supervisor.is_stopping)
        code = 0 if is_good else 1
        if not supervisor.is_stopping.is_set():
            announcement()
    except Exception:
        # A thread's exception would end nothing but the thread.
        logger.exception("The demo failed.")
    finally:
        connections.close_all()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        supervisor.stop(code)
