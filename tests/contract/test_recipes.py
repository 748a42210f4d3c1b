"""The recipes of docs/api.md run as they are written, but for the ids that answers give."""

import re
import subprocess
from pathlib import Path

import pytest

from mailing_manager_project.environment import BASE_DIR
from tests.contract.server import Web, running_web

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What is no call of the API: it makes the token, which is that of the test, or programs.
ELSEWHERE = re.compile(r"(?m)^(python manage\.py|export API|pip |openapi-|npm |npx ).*$")
IDS = {"mailings/17": "mailings/1", "mailing=17": "mailing=1", "clients/4711": "clients/1"}
# It has not begun, so nothing has failed, and there is nothing to be stated of it.
REFUSED = {"mailings/1/resend/": "409", "mailings/1/statement/": "404"}


def script() -> str:
    """Return the recipes as one script, which says of each call where it went, and the status."""
    blocks = BLOCK.findall((BASE_DIR / "docs" / "api.md").read_text())
    text = ELSEWHERE.sub("", "\n".join(each for language, each in blocks if not language))
    for written, made in IDS.items():
        text = text.replace(written, made)
    return text.replace("curl -sS", r"curl -sS -w '\n%{http_code} %{url_effective}\n'")


def run(web: Web, folder: Path) -> list[list[str]]:
    """Run the recipes; return [status, address] of each call."""
    spreadsheet = folder / "clients.xlsx"  # CSV will do: a file is known by what is in it.
    spreadsheet.write_text("phone_number,tag\n79991112233,vip\n")
    environment = {
        "API": f"{web.url}/api/v1",
        "TOKEN": web.token("administrator"),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    done = subprocess.run(
        ["bash", "-eu", "-c", script()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split() for line in re.findall(r"(?m)^\d{3} http.*$", done.stdout)]


@pytest.mark.flow
@pytest.mark.timeout(300)
def test_every_recipe_runs_as_it_is_written(tmp_path: Path) -> None:
    with running_web(tmp_path) as web:
        calls = run(web, tmp_path)

    refused = {
        address.partition("/api/v1/")[2]: status for status, address in calls if status >= "400"
    }
    assert refused == REFUSED
    assert len(calls) > 20
