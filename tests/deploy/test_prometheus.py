"""Prometheus itself reads the metrics of a real mailing, the rules and the dashboard."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from mailing_manager_project.environment import BASE_DIR
from tests.installation import HOUR, Installation, Template
from tests.programs import prometheus_executable
from tests.servers import free_port, private_postgres, private_redis, wait_for_port

pytestmark = pytest.mark.deploy

RULES = BASE_DIR / "deploy" / "prometheus"
DASHBOARD = BASE_DIR / "deploy" / "grafana" / "mailing-manager.json"
PREFIX = "mailing_manager_"
NUMBER = 500
TOKEN = "the-token-of-prometheus"
# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$job": "mailing-manager"}


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [prometheus_executable("promtool"), *arguments],
        cwd=RULES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def alarms() -> set[str]:
    groups = yaml.safe_load((RULES / "rules.yml").read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


def questions() -> list[str]:
    """Return the expressions of the dashboard, as Grafana sends them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [each.replace(name, value) for each in found]
    return found


def documented() -> set[str]:
    page = (BASE_DIR / "docs" / "metrics.md").read_text()
    return set(re.findall(r"^\| `([a-z_]+)(?:\{[a-z,]+\})?` \|", page, re.MULTILINE))


def asked_for(expression: str) -> set[str]:
    names = re.findall(rf"\b{PREFIX}([a-z_]+)", expression)
    return {re.sub("^answer_seconds_.*", "answer_seconds", name) for name in names}


def test_every_alarm_comes_when_it_should_and_only_then() -> None:
    promtool("check", "rules", "rules.yml")
    tested: set[str] = set()
    for file in sorted(RULES.glob("*.test.yml")):
        promtool("test", "rules", file.name)
        cases = yaml.safe_load(file.read_text())["tests"]
        for case in (case for each in cases for case in each["alert_rule_test"]):
            tested.add(f"{case['alertname']} {'comes' if case['exp_alerts'] else 'does not'}")
    assert tested == {f"{name} {what}" for name in alarms() for what in ("comes", "does not")}


def test_rules_and_dashboard_ask_for_nothing_that_is_not_explained() -> None:
    expressions = [(RULES / "rules.yml").read_text(), *questions()]
    assert set().union(*map(asked_for, expressions)) <= documented()
    assert set().union(*map(asked_for, questions())) == documented()


def test_every_alarm_is_explained() -> None:
    page = (BASE_DIR / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(MailingManager\w+)` \|", page, re.MULTILINE)) == alarms()


def test_no_two_panels_of_the_dashboard_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        places = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not places & taken, panel["title"]
        assert max(x for x, _ in places) < 24
        taken |= places


class Prometheus:
    """A Prometheus of the test's own, which reads an installation every two seconds."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        return requests.get(f"{self._address}/-/ready", timeout=30).status_code == 200

    def get(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self._address}/api/v1/{path}", query, timeout=30).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def ask(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return what an expression is now: labels and values."""
        found = self.get("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]


@contextmanager
def running_prometheus(folder: Path, target: int) -> Iterator[Prometheus]:
    """Run one with the configuration that we deliver, on an installation at this port."""
    (folder / "token").write_text(TOKEN)
    settings = yaml.safe_load((RULES / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    settings["rule_files"] = [str(RULES / file) for file in settings["rule_files"]]
    (job,) = settings["scrape_configs"]
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    promtool("check", "config", str(folder / "prometheus.yml"))
    port = free_port()
    options = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder}/tsdb"]
    options += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen([prometheus_executable(), *options]) as process:
        try:
            wait_for_port(port, timeout=60)
            yield Prometheus(port)
        finally:
            process.terminate()


@pytest.mark.flow
def test_a_real_mailing_is_seen_by_prometheus(tmp_path: Path) -> None:
    with ExitStack() as resources:
        broker = resources.enter_context(private_redis())
        database = resources.enter_context(private_postgres(fsync="off"))
        Template(database)
        installation = Installation(tmp_path, database, broker, resources)
        installation.environment |= {"METRICS_TOKEN": TOKEN, "MESSAGE_SENDER_RATE": "400"}
        installation.add_clients(NUMBER)
        port = installation.start_web()
        prometheus = resources.enter_context(running_prometheus(tmp_path, port))
        installation.wait_for(prometheus.is_ready)
        installation.wait_for(lambda: prometheus.ask("mailing_manager_pending") != [])
        installation.start_worker()
        installation.start_beat()
        installation.wait_until_ready()
        mailing = installation.add_mailing(start=-HOUR, stop=HOUR)
        installation.fire("start_mailing", mailing)

        accepted = 'mailing_manager_messages_total{outcome="success"}'
        installation.wait_for(lambda: [n for _, n in prometheus.ask(accepted)] == [NUMBER])
        installation.wait_for(
            lambda: [n for _, n in prometheus.ask("mailing_manager_pending")] == [0]
        )

        ((_, answers),) = prometheus.ask("mailing_manager_answer_seconds_count")
        assert 0 < answers <= NUMBER  # A process notes its last ones with the next delivery.
        assert prometheus.ask("max_over_time(mailing_manager_mailing_pending[5m])")
        names = set(prometheus.get("label/__name__/values"))
        never = {f"{PREFIX}mailing_{name}" for name in ("pending", "rate", "late")}
        missing = {f"{PREFIX}{name}" for name in documented()} - names
        assert missing <= never | {f"{PREFIX}answer_seconds"}
        for expression in questions():
            prometheus.ask(expression)
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
