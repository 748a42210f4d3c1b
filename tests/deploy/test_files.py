"""The files for Docker, Kubernetes and systemd: their own programs take them, and they agree."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.launcher import command
from mailing_manager_project.launcher.programs import LOCALHOST

pytestmark = pytest.mark.deploy

DEPLOY = BASE_DIR / "deploy"
PROGRAMS = {program.name for program in command.own_programs(LOCALHOST, 8000, sending=1)}
OVERRIDES = [None, "rabbitmq.yaml", "pgbouncer.yaml", "replica.yaml"]
TOOLS = Path(sys.executable).parent


def said(*words: str) -> str:
    """Run a program that checks something; return what it said, or fail with that."""
    result = subprocess.run(
        words, cwd=BASE_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def compose(override: str | None = None) -> dict[str, Any]:
    """Return what docker-compose reads, with an override if one is named."""
    files = ["compose.yaml", *([f"deploy/compose/{override}"] if override else [])]
    options = [word for file in files for word in ("-f", file)]
    read: dict[str, Any] = yaml.safe_load(said("docker-compose", *options, "config"))
    return read


@pytest.fixture(scope="module")
def kubernetes() -> str:
    return said("kubectl", "kustomize", "deploy/kubernetes")


def containers(manifests: str) -> list[dict[str, Any]]:
    """Return the containers of deployments and jobs."""
    return [
        container
        for each in yaml.safe_load_all(manifests)
        if each["kind"] in ("Deployment", "Job")
        for container in each["spec"]["template"]["spec"]["containers"]
    ]


def programs_of(commands: list[list[str]]) -> set[str]:
    """Return which programs command lines of main.py ask for, as main.py reads them."""
    found = set()
    for words in commands:
        if words and words[0] == "main.py":
            found.add(command.parse_arguments(words[1:]).only)
    return found


@pytest.mark.parametrize("override", OVERRIDES)
def test_docker_compose_takes_the_files(override: str | None) -> None:
    assert "web" in compose(override)["services"]


def test_compose_starts_every_program_and_only_who_sends_knows_the_token() -> None:
    services = compose()["services"]
    ours = {name: each for name, each in services.items() if "mailing-manager" in each["image"]}
    assert programs_of([each["command"] for each in ours.values()]) == PROGRAMS
    assert {name for name, each in ours.items() if each.get("secrets")} == {"web", "sending"}
    for each in ours.values():
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert said(f"{TOOLS}/hadolint", "Dockerfile") == ""


def test_the_image_has_what_runs_and_no_tests() -> None:
    kept = re.findall(r"^!(\S+)$", (BASE_DIR / ".dockerignore").read_text(), re.MULTILINE)
    rooms = {path.parent.name for path in BASE_DIR.glob("*/__init__.py")}
    assert rooms - {"benchmarks", "scripts", "tests"} <= set(kept)
    assert {"main.py", "manage.py", "gunicorn.conf.py", "requirements*.lock"} <= set(kept)


def test_keda_scales_what_there_is_by_a_metric_that_there_is_and_nothing_else_does(
    kubernetes: str,
) -> None:
    plain = list(yaml.safe_load_all(kubernetes))
    scaled = list(yaml.safe_load_all(said("kubectl", "kustomize", "deploy/kubernetes-keda")))
    (scaling,) = (each for each in scaled if each["kind"] == "ScaledObject")
    hpa = ("HorizontalPodAutoscaler", "sending")
    others = [each for each in plain if (each["kind"], each["metadata"]["name"]) != hpa]
    assert len(plain) == len(others) + 1
    assert [each for each in scaled if each != scaling] == others

    spec = scaling["spec"]
    (target,) = (
        each
        for each in others
        if each["metadata"]["name"] == "sending" and "template" in each["spec"]
    )
    assert spec["scaleTargetRef"] == {"name": target["metadata"]["name"]}
    assert spec["minReplicaCount"] == target["spec"]["replicas"]
    (trigger,) = spec["triggers"]
    (metric,) = re.findall(r"mailing_manager_(\w+)", trigger["metadata"]["query"])
    assert f"`{metric}`" in (BASE_DIR / "docs/metrics.md").read_text()


def test_kubernetes_takes_the_manifests(kubernetes: str, tmp_path: Path) -> None:
    manifests = tmp_path / "all.yaml"
    manifests.write_text(kubernetes)
    for version in ("1.27", "1.33"):
        assert "passed" in said(
            f"{TOOLS}/kubernetes-validate", "--strict", "-k", version, str(manifests)
        )


def test_kubernetes_starts_every_program_and_only_who_sends_knows_the_token(
    kubernetes: str,
) -> None:
    found = containers(kubernetes)
    assert programs_of([each["args"] for each in found]) == PROGRAMS
    knowing = {
        each["name"]
        for each in found
        if any(variable["name"] == "MESSAGE_SENDER_TOKEN_FILE" for variable in each["env"])
    }
    assert knowing == {"web", "sending"}
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in found)


def test_systemd_takes_the_units_and_starts_every_program(tmp_path: Path) -> None:
    for unit in [*(DEPLOY / "systemd").glob("*.service"), *(DEPLOY / "systemd").glob("*.target")]:
        # The program is not installed where units say; this one is there everywhere.
        text = unit.read_text().replace("/opt/mailing-manager/.venv/bin/python", sys.executable)
        name = unit.name.replace("@.", "@web.")
        (tmp_path / name).write_text(text.replace("User=mailing-manager\n", ""))
    verified = sorted(str(path) for path in tmp_path.iterdir())
    said("systemd-analyze", "verify", "--recursive-errors=no", *verified)
    target = (DEPLOY / "systemd" / "mailing-manager.target").read_text()
    assert set(re.findall(r"mailing-manager@(\w+)\.service", target)) == PROGRAMS
    dropins = (DEPLOY / "systemd").glob("mailing-manager@*.service.d/token.conf")
    assert {path.parent.name for path in dropins} == {
        f"mailing-manager@{name}.service.d" for name in ("messages", "web")
    }
