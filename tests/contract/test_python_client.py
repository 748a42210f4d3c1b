"""A Python client, generated from the contract, spends a day with a real installation."""

import subprocess
import sys
from pathlib import Path

import pytest

from mailing_manager_project.environment import BASE_DIR
from tests.contract.server import running_web

PACKAGE = "mailing_manager_client"


@pytest.fixture
def _generated_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate the client where Python finds it."""
    document = BASE_DIR / "docs" / "openapi.yaml"
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", document, "--output-path", tmp_path / PACKAGE, "--fail-on-warning"),
            *("--config", Path(__file__).parent / "python_client.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.flow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_generated_client")
def test_the_generated_client_does_all_that_a_program_does_in_a_day(tmp_path: Path) -> None:
    from tests.contract.day import beginning_day  # There is something to import only now.

    with running_web(tmp_path) as web:
        installation = web.installation
        installation.sandbox.set_faults(bad_request=1)
        installation.start_workers()
        installation.wait_until_ready()
        with beginning_day(web.url, web.token("operator")) as day:
            day.add_clients()
            day.change_one_field()
            mailing = day.start_mailing()
            day.look_at_failures(mailing)
            installation.sandbox.set_faults()
            day.resend(mailing)
            day.read_feed(mailing)
            day.pause_and_resume(mailing)
            day.cancel(day.edit_beside_somebody_else())
            day.make_mistakes()

        assert installation.sandbox.stats()["unique"] == 6
