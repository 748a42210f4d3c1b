"""The measurements. Each yields rows of the report; ratios are of runs made in turns."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, NamedTuple

from benchmarks.environment import (
    CONCURRENCY,
    SENDING_PROCESSES,
    Environment,
    environment,
    over_tls,
    workers,
)
from benchmarks.importing import clients_file, run_import
from benchmarks.peers import contenders, race
from benchmarks.processes import megabytes, processor_seconds
from mailing_manager_project.launcher import programs
from tests.servers import free_port, wait_for_port

LATENCY = 0.05  # seconds of each answer of a remote sender
SLOW = 0.5  # the same of a slow one
A_DAY = 100_000_000  # messages
BUSY_HOURS = 10  # hours of a day in which all of them are sent


class Row(NamedTuple):
    """One line of the report. `wanted` is the target."""

    what: str
    value: float
    unit: str
    wanted: str = ""


def throughput(repeats: int, number: int = 100_000) -> Iterator[Row]:
    """Compare the engine on Postgres with posting without a database, at no latency."""
    with environment() as installation:
        installation.run("add_clients", number=number)
        bare, engine = [], []
        with installation.running(workers()):
            _warm_up(installation, number)
            for _ in range(repeats):
                bare.append(_bare(installation, number))
                engine.append(installation.run("deliver", number=number)["per_second"])
    yield Row("bare limit: the same libcurl loop, no database", median(bare), "messages/s")
    yield Row("engine on Postgres, planning included", median(engine), "messages/s", "≥ 5,000")
    yield Row("engine / bare limit", _ratio(engine, bare), "%", "≥ 40 %")


def tls(repeats: int, number: int = 100_000) -> Iterator[Row]:
    """Compare the engine over TLS with posting over TLS, and with itself without TLS."""
    with environment() as installation, over_tls(installation) as secure:
        installation.run("add_clients", number=number)
        bare, engine, plain = [], [], []
        for _ in range(repeats):
            plain.append(_anew(installation, number))
            engine.append(_anew(secure, number))
            bare.append(_bare(secure, number))
    yield Row("bare limit over TLS", median(bare), "messages/s")
    yield Row("engine on Postgres over TLS, planning included", median(engine), "messages/s")
    yield Row("engine / bare limit, both over TLS", _ratio(engine, bare), "%")
    yield Row("engine over TLS / without TLS", _ratio(engine, plain), "%")


def latency(repeats: int, number: int = 60_000) -> Iterator[Row]:
    """Compare the engine with open requests / LATENCY, the limit of a sender that takes 50 ms."""
    limit = SENDING_PROCESSES * CONCURRENCY / LATENCY
    with environment() as installation:
        installation.run("add_clients", number=number)
        with installation.running(workers(), MESSAGE_SENDER_CONCURRENCY=str(CONCURRENCY)):
            _warm_up(installation, number)
            installation.sandbox.set_faults(latency=LATENCY)
            rates = [
                installation.run("deliver", number=number)["sending_per_second"]
                for _ in range(repeats)
            ]
    yield Row("arithmetic limit at 50 ms, 2 × 100 open requests", limit, "messages/s")
    yield Row("engine on Postgres at 50 ms", median(rates), "messages/s")
    yield Row("engine / arithmetic limit", median(rates) / limit * 100, "%", "≥ 90 %")


def adaptive(repeats: int, number: int = 60_000) -> Iterator[Row]:
    """Let new processes find how many requests to open, at senders that allow this or that."""
    few = number // 3
    with environment() as installation:
        installation.run("add_clients", number=number, tags=3)
        fixed, found = [], []
        for _ in range(repeats):
            fixed.append(_find(installation, number, latency=LATENCY, CONCURRENCY=CONCURRENCY))
            found.append(_find(installation, number, latency=LATENCY))
        yield Row("at 50 ms", median(run.rate for run in found), "messages/s", "≥ 8,000")
        ratio = _ratio([run.rate for run in found], [run.rate for run in fixed]) / 100
        yield Row(f"… / with {CONCURRENCY} open requests a process", ratio, "×")
        cases: list[tuple[str, int, float, dict[str, Any]]] = [
            ("at 500 ms, 1,000 a process at most", number, 4_000, {"MAX_CONCURRENCY": 1_000}),
            ("1,000 messages/s allowed, at 50 ms", few, 1_000, {"rate_limit": 1_000}),
            ("50 open requests allowed, at 50 ms", few, 50 / LATENCY, {"max_open": 50}),
        ]
        for what, messages, limit, given in cases:
            wait = SLOW if "MAX_CONCURRENCY" in given else LATENCY
            runs = [_find(installation, messages, latency=wait, **given) for _ in range(repeats)]
            rate = median(run.rate for run in runs)
            wanted = "≥ 90 %" if wait == SLOW else "≥ 95 %"
            yield Row(what, rate, "messages/s")
            yield Row("… of what is allowed", rate / limit * 100, "%", wanted)
            yield Row("… refused", median(run.refused for run in runs), "%", "≤ 2 %")


def sqlite(repeats: int, number: int = 50_000) -> Iterator[Row]:
    """Measure the engine on SQLite, which the first `make run` uses."""
    with environment("sqlite") as installation:
        installation.run("add_clients", number=number)
        with installation.running(workers()):
            _warm_up(installation, number)
            rates = [
                installation.run("deliver", number=number)["per_second"] for _ in range(repeats)
            ]
    yield Row("engine on SQLite, planning included", median(rates), "messages/s", "≥ 4,000")


def usual(repeats: int, number: int = 2_000) -> Iterator[Row]:
    """Compare the engine with the usual design (`baseline`), with as many worker processes."""
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-q", "-A", "benchmarks.baseline"]
    command += ["worker", "-Q", "usual", "-c", str(SENDING_PROCESSES), "-l", "error"]
    with environment() as installation:
        installation.run("add_clients", number=50 * number)
        for wait in (0.0, LATENCY):
            installation.sandbox.set_faults(latency=wait)
            theirs, ours = [], []
            with installation.running([command, *workers()]):
                _warm_up(installation, 50 * number)
                for _ in range(repeats):
                    share = number if not wait else number // 8
                    theirs.append(installation.run("deliver_as_usual", number=share)["per_second"])
                    ours.append(installation.run("deliver", number=50 * number)["per_second"])
            at = f"at {wait * 1000:.0f} ms"
            yield Row(f"the usual design {at}: a task a message", median(theirs), "messages/s")
            yield Row(f"engine / the usual design {at}", _ratio(ours, theirs) / 100, "×", "≥ 50")


def peers(repeats: int) -> Iterator[Row]:
    """Let what others would take send the same messages to the same sender; kill each once."""
    with environment() as installation:
        for contender in contenders.all_of(installation):
            for wait in (0.0, LATENCY):
                runs = [race.run(contender, latency=wait) for _ in range(repeats)]
                at = f"{contender.name} at {wait * 1000:.0f} ms"
                yield Row(at, median(run.per_second for run in runs), "messages/s")
                spent = median(run.milliseconds for run in runs)
                yield Row(f"{at}: processor time a message", spent, "ms")
            after = race.run_with_a_kill(contender, latency=LATENCY)
            what = f"{contender.name}, kill -9 within {after.number:,}"
            yield Row(f"{what}: lost", after.lost, "messages")
            yield Row(f"{what}: stuck after {race.PATIENCE} s", after.stuck, "messages")
            yield Row(f"{what}: sent again", after.repeated, "messages")


def processes(repeats: int, number: int = 100_000) -> Iterator[Row]:
    """Deliver with one, two and four sending processes, however many cores the machine has."""
    with environment() as installation:
        installation.run("add_clients", number=number)
        for count in (1, 2, 4):
            env = {"MESSAGE_SENDER_PROCESSES": str(count)}
            with installation.running(workers(count), **env):
                _warm_up(installation, number)
                rates = [
                    installation.run("deliver", number=number)["per_second"] for _ in range(repeats)
                ]
            yield Row(f"engine with {count} sending processes", median(rates), "messages/s")


def fairness(repeats: int, mailings: int = 1_000) -> Iterator[Row]:
    """Start a thousand small mailings at once."""
    with environment() as installation:
        installation.run("add_clients", number=20 * mailings, tags=mailings)
        with installation.running(workers()):
            _warm_up(installation, 20 * mailings)
            runs = [installation.run("deliver_small", mailings=mailings) for _ in range(repeats)]
    what = f"{mailings:,} mailings at once: time to the first message of each"
    yield Row(f"{what}: p50", median(run["p50_ms"] for run in runs), "ms")
    yield Row(f"{what}: p95", median(run["p95_ms"] for run in runs), "ms")


def history(repeats: int, number: int = 100_000) -> Iterator[Row]:
    """Deliver with more and more messages of earlier mailings in the database."""
    with environment() as installation:
        installation.run("add_clients", number=number)
        rates = []
        with installation.running(workers()):
            _warm_up(installation, number)
            for mailings in (0, 10, 90):
                if mailings:
                    installation.run("add_history", mailings=mailings, clients=number, running=0)
                runs = [
                    installation.run("deliver", number=number)["per_second"] for _ in range(repeats)
                ]
                rates.append(median(runs))
                total = installation.run("count_messages")["messages"]
                yield Row(
                    f"engine with {total / 1e6:.1f} million messages", rates[-1], "messages/s"
                )
    yield Row("the last of these / the first", rates[-1] / rates[0] * 100, "%", "flat")


def memory(repeats: int, number: int = 100_000) -> Iterator[Row]:
    """Measure the memory of each program after some mailings were delivered."""
    commands = {
        "web (gunicorn, 2 workers of 24 threads)": programs.web(programs.LOCALHOST, free_port()),
        "beat": programs.beat(),
        "planning worker": programs.worker("mailings", processes=1),
        f"sending worker, {SENDING_PROCESSES} processes": programs.worker(
            "messages", processes=SENDING_PROCESSES
        ),
    }
    with environment() as installation:
        installation.run("add_clients", number=number)
        with installation.running(each.command for each in commands.values()) as running:
            for _ in range(repeats):
                _warm_up(installation, number)
            for name, process in zip(commands, running, strict=True):
                yield Row(name, megabytes(process.pid), "MB")


def cost(repeats: int, number: int = 100_000) -> Iterator[Row]:
    """Measure processor time, log and disk of a message; calculate them for A_DAY messages."""
    with environment() as installation:
        installation.run("add_clients", number=number)
        with installation.running(workers()) as (planner, sender):
            _warm_up(installation, number)
            before = installation.run("look_at_postgres")
            pids = {"planning": planner.pid, "sending": sender.pid, "Postgres": before["pid"]}
            seconds = {part: -processor_seconds(pid) for part, pid in pids.items()}
            for _ in range(repeats):
                installation.run("deliver", number=number)
            for part, pid in pids.items():
                seconds[part] += processor_seconds(pid)
            after = installation.run("look_at_postgres")
    messages = repeats * number
    micros = {part: spent / messages * 1e6 for part, spent in seconds.items()}
    wal, disk = ((after[name] - before[name]) / messages for name in ("wal", "disk"))
    for part, each in micros.items():
        yield Row(f"processor time a message: {part}", each, "µs")
    yield Row("write-ahead log a message", wal, "bytes")
    yield Row("disk a message, indexes included", disk, "bytes")
    rate = A_DAY / BUSY_HOURS / 3600
    yield Row(f"{A_DAY / 1e6:.0f} million in {BUSY_HOURS} hours", rate, "messages/s")
    for part, each in micros.items():
        yield Row(f"… cores busy with it: {part}", rate * each / 1e6, "cores")
    yield Row("… write-ahead log", rate * wal / 1e6, "MB/s")
    yield Row("… disk a day", A_DAY * disk / 1e9, "GB")


def partitions(repeats: int, mailings: int = 50, clients: int = 100_000) -> Iterator[Row]:
    """Compare one table with partitions by mailing, with five million older messages."""
    del repeats  # Each step is measured over `clients` messages already.
    with environment() as installation:
        installation.run("add_clients", number=clients)
        found = installation.run("compare_partitions", mailings=mailings, clients=clients)
    for step, spent in found["plain"].items():
        yield Row(f"{step} a message: one table", spent, "µs")
        yield Row(f"{step} a message: {mailings} partitions", found["parted"][step], "µs")


def planning(repeats: int, number: int = 1_000_000) -> Iterator[Row]:
    """Plan a mailing to a million clients."""
    with environment() as installation:
        installation.run("add_clients", number=number)
        runs = [installation.run("plan", number=number) for _ in range(repeats)]
    yield Row("planning a million messages", median(r["per_second"] for r in runs), "messages/s")
    grown = max(run["megabytes_grown"] for run in runs)
    yield Row("growth of the planner's memory meanwhile", grown, "MB", "flat")


def import_(repeats: int, number: int = 1_000_000) -> Iterator[Row]:
    """Import a million clients, import them again, and again with every tenth changed."""
    del repeats  # Each import is measured over `number` rows already.
    with environment() as installation:
        with clients_file(number // 100) as few:
            small = run_import(installation, few)
        with clients_file(number) as same, clients_file(number, changed=0.1) as other:
            runs = {
                "first": run_import(installation, same),
                "again, unchanged": run_import(installation, same),
                "again, 10 % changed": run_import(installation, other),
            }
    for what, run in runs.items():
        yield Row(f"import of {number:,} clients: {what}", run.seconds, "s", "≤ 30")
        yield Row(f"… processor time of the import: {what}", run.processor_seconds, "s")
    most = max(run.megabytes for run in runs.values())
    yield Row("memory of an import at most", most, "MB")
    yield Row(f"… more than of {number // 100:,} clients", most - small.megabytes, "MB", "flat")


def large(repeats: int, number: int = 10_000_000) -> Iterator[Row]:
    """Read, edit, cancel and delete a mailing of ten million messages while others are sent."""
    del repeats  # It takes its time once already.
    with environment() as installation:
        installation.run("add_clients", number=number)
        installation.sandbox.set_faults(latency=SLOW)
        with installation.running(workers()):
            found = installation.run("manage_large", number=number, latency=SLOW)
    for name in ("stats", "list", "panel", "home"):
        what = f"{name} with {number:,} messages in a running mailing"
        yield Row(what, found[name] * 1000, "ms", "≤ 20")
    yield Row(f"planning {number:,} clients again who have a message", found["replan"], "s")
    for name in ("window", "extend", "cancel", "delete"):
        yield Row(f"{name}: the request", found[f"{name}_request"] * 1000, "ms", "≤ 300")
        yield Row(f"{name}: until all messages have followed", found[f"{name}_done"], "s")
        yield Row(f"{name}: a small mailing waits at most", found[f"{name}_other"], "s", "≤ 1")


def reading(repeats: int, mailings: int = 1_000, clients: int = 5_000) -> Iterator[Row]:
    """Read lists and stats with five million messages in the database."""
    paths = {
        "mailings/stats/": "/api/v1/mailings/stats/",
        "mailings/{id}/stats/ of a running one": f"/api/v1/mailings/{mailings}/stats/",
        "messages/stats/ of a mailing": f"/api/v1/messages/stats/?mailing={mailings}",
        "mailings/": "/api/v1/mailings/",
        "messages/": "/api/v1/messages/",
        "messages/ of a mailing": f"/api/v1/messages/?mailing={mailings // 2}",
        "messages/ that failed": "/api/v1/messages/?status=fail",
        "messages/ that are pending": "/api/v1/messages/?status=pending",
        "messages/ of a client": "/api/v1/messages/?client=7",
        "clients/ by beginning of number": "/api/v1/clients/?phone_number=790000001",
    }
    with environment() as installation:
        installation.run("add_clients", number=clients)
        installation.run("add_history", mailings=mailings, clients=clients, running=10)
        found = installation.run("read", paths=list(paths.values()), repeats=20 * repeats)
    for name, path in paths.items():
        queries = found[path]["queries"]
        yield Row(f"GET {name}: p50 ({queries} queries)", found[path]["p50_ms"], "ms")
        yield Row(f"GET {name}: p95", found[path]["p95_ms"], "ms")


def load(
    repeats: int, mailings: int = 10, clients: int = 1_000_000, rate: int = 100
) -> Iterator[Row]:
    """Ask the REST API over 8 connections at once, while four mailings are sent at a limited rate.

    Each mailing has a message to each client.
    """
    connections, port = 8, free_port()
    with environment() as installation:
        installation.run("add_clients", number=clients)
        installation.run("add_history", mailings=mailings, clients=clients, running=4)
        installation.run("keep_history")
        web = programs.web(programs.LOCALHOST, port)
        with installation.running([web.command, programs.beat().command, *workers()]):
            wait_for_port(port, timeout=60)
            found = installation.run(
                "ask_at_once",
                url=f"http://{programs.LOCALHOST}:{port}",
                number=200 * repeats,
                connections=connections,
                rate=rate,
            )
    for name, times in found.items():
        wanted = "≤ 50" if name.startswith("GET") else "≤ 100"
        yield Row(f"{name}, {connections} at once: p50", times["p50_ms"], "ms")
        yield Row(f"{name}, {connections} at once: p95", times["p95_ms"], "ms", wanted)


def console(repeats: int, mailings: int = 10, clients: int = 1_000_000) -> Iterator[Row]:
    """Open the console's pages, and ask for what they keep up to date, with so many messages."""
    mailing = f"/admin/mailings/mailing/{mailings}"
    messages = f"/admin/messages_app/message/?mailing={mailings}&standing="
    sender = "/admin/messages_app/sendingcontrol"
    pages = {
        "the first page": "/admin/",
        "the list of mailings": "/admin/mailings/mailing/",
        "a running mailing": f"{mailing}/change/",
        "its messages": "/admin/messages_app/message/?mailing=1",
        "those that were sent": f"{messages}sent",
        "those that wait": f"{messages}waiting",
        "those that failed for good": f"{messages}failed",
        "those of which nobody knows, none": f"{messages}unknown",
        "all that failed": "/admin/messages_app/message/?standing=failed",
        "the sender": f"{sender}/1/change/",
    }
    polls = {
        "the first page": "/admin/mailings/mailing/overview/",
        "the list of mailings": "/admin/mailings/mailing/rows/?ids=1,2,3,4,5,6,7,8,9,10",
        "a running mailing": f"{mailing}/panel/",
        "a running mailing, each 30 s": f"{mailing}/panel/?full=1",
        "the sender": f"{sender}/panel/",
        "any other page, each 10 s": f"{sender}/troubles/",
    }
    with environment() as installation:
        installation.run("add_clients", number=clients)
        installation.run("add_history", mailings=mailings, clients=clients, running=5)
        installation.run("keep_history")
        paths = [*pages.values(), *polls.values()]
        found = installation.run("read", paths=paths, repeats=10 * repeats)
    for what, named, wanted in (("open", pages, "≤ 300"), ("ask again for", polls, "≤ 30")):
        for name, path in named.items():
            queries, p95 = found[path]["queries"], found[path]["p95_ms"]
            yield Row(f"{what} {name}: p95 ({queries} queries)", p95, "ms", wanted)


def reaction(repeats: int, mailings: int = 500) -> Iterator[Row]:
    """Measure from the POST of a due mailing to its first message at the sender.

    One by one, and many small ones over 8 connections.
    """
    port = free_port()
    web = programs.web(programs.LOCALHOST, port)
    with environment() as installation:
        installation.run("add_clients", number=20 * mailings, tags=mailings)
        url = f"http://{programs.LOCALHOST}:{port}"
        with installation.running([web.command, *workers()]):
            _warm_up(installation, 20 * mailings)
            found = installation.run(
                "wait_for_first",
                number=10 * repeats,
                url=url,
                stats_url=f"{installation.sandbox.control_url}/stats",
            )
            # Afterwards: the tasks that they leave behind would hold up the others.
            many = [installation.run("post_many", number=mailings, url=url) for _ in range(repeats)]
    yield Row("POST of a due mailing to its first message: p50", found["p50_ms"], "ms", "≤ 1,000")
    yield Row("POST of a due mailing to its first message: p95", found["p95_ms"], "ms", "≤ 1,000")
    what = f"{mailings:,} POSTs of small mailings, 8 at once, to the first message of each"
    yield Row(f"{what}: p95", median(run["p95_ms"] for run in many), "ms", "≤ 1,000")
    yield Row(f"{what}: slowest", median(run["most_ms"] for run in many), "ms", "≤ 1,000")


MEASURES: dict[str, Callable[[int], Iterator[Row]]] = {
    measure.__name__.rstrip("_"): measure
    for measure in (
        throughput,
        tls,
        latency,
        adaptive,
        sqlite,
        usual,
        peers,
        processes,
        fairness,
        history,
        cost,
        partitions,
        planning,
        large,
        import_,
        reading,
        load,
        console,
        reaction,
        memory,
    )
}


class _Run(NamedTuple):
    rate: float  # messages a second, while the middle half of them was accepted
    refused: float  # percent of all requests


def _find(installation: Environment, number: int, **given: Any) -> _Run:
    """Deliver with new processes; names in capitals are settings of theirs, others are faults."""
    faults = {name: value for name, value in given.items() if name.islower()}
    env = {f"MESSAGE_SENDER_{name}": str(given[name]) for name in given.keys() - faults.keys()}
    installation.sandbox.set_faults(**faults)
    before = installation.sandbox.get("/stats")
    seen: list[tuple[float, int]] = []
    commands = [*workers(), programs.beat().command]  # whose tick sees to what was refused
    with installation.running(commands, **env), ThreadPoolExecutor(1) as pool:
        tags = {"tag": ["tag0"]} if number < installation.run("count_clients")["clients"] else {}
        delivery = pool.submit(installation.run, "deliver", number=number, filters=tags)
        while not delivery.done():
            accepted = installation.sandbox.get("/stats")["accepted"] - before["accepted"]
            if number / 4 <= accepted <= number * 3 / 4:
                seen.append((time.monotonic(), accepted))
            time.sleep(0.05)
        delivery.result()
    after = installation.sandbox.get("/stats")
    refused = after["rejected"] - before["rejected"]
    (began_at, first), (ended_at, last) = seen[0], seen[-1]
    return _Run((last - first) / (ended_at - began_at), refused / (refused + number) * 100)


def _bare(installation: Environment, number: int) -> float:
    """Post without a database from SENDING_PROCESSES processes; return their messages a second."""
    share = number // SENDING_PROCESSES
    with ThreadPoolExecutor(SENDING_PROCESSES) as pool:
        runs: list[dict[str, Any]] = list(
            pool.map(lambda _: installation.run("post", number=share), range(SENDING_PROCESSES))
        )
    return sum(share / float(run["seconds"]) for run in runs)


def _anew(installation: Environment, number: int) -> float:
    """Deliver with workers of its own, started and connected before; return messages a second."""
    with installation.running(workers()):
        _warm_up(installation, number)
        return float(installation.run("deliver", number=number)["per_second"])


def _warm_up(installation: Environment, number: int) -> None:
    """Deliver once without measuring, so that workers have started and connected."""
    installation.run("deliver", number=number)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios of paired runs, in percent."""
    return median(our / their for our, their in zip(ours, theirs, strict=True)) * 100
