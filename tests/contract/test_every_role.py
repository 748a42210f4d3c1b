"""Whoever sends whatever to the API: every answer is as documented, and none is an error of ours.

schemathesis makes requests up from the document, also in rows that follow from one another, for a
time (FUZZ_SECONDS, of all callers together) and from a seed (FUZZ_SEED). What it does not hold
against us, and why, stands in schemathesis.toml. `make fuzz` runs it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailing_manager_project.environment import BASE_DIR
from tests.contract.server import Web, roles, running_web

CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
SEED = os.environ.get("FUZZ_SEED", "20261129")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "135"))
# Those who may change things get further, and more time.
SHARES = {"operator": 1 / 3, "administrator": 1 / 3}

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with running_web(tmp_path_factory.mktemp("fuzz")) as web:
        yield web


@pytest.mark.parametrize("role", roles())
def test_every_answer_is_as_documented(web: Web, role: str, tmp_path: Path) -> None:
    token = web.token(role)
    seconds = max(1, round(SECONDS * SHARES.get(role, 1 / 9)))
    print(f"\n{role}, {seconds} s: FUZZ_SEED={SEED} FUZZ_SECONDS={SECONDS}", flush=True)  # noqa: T201

    answer = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIGURATION),
            *("run", BASE_DIR / "docs/openapi.yaml", "--url", web.url),
            *("--seed", SEED, "--max-time", f"{seconds}", "--continue-on-failure"),
            *(("--header", f"Authorization: Token {token}") if token else ()),
        ],
        cwd=tmp_path,
        check=False,
    )

    assert answer.returncode == 0
    assert "Traceback" not in (web.installation.folder / "web.log").read_text()
