"""The sandbox serves HTTPS with a certificate, and says what is wrong with one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox_sender.launch import PROJECT, RunningSandbox, run_sandbox
from tests.certificates import Certificate, make_certificate

BODY = {"id": 7, "phone": 79991234567, "text": "Hello"}
BEARER = {"Authorization": "Bearer sandbox"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def secure(certificate: Certificate) -> Iterator[RunningSandbox]:
    with run_sandbox(*certificate.options) as sandbox:
        yield sandbox


def post(sandbox: RunningSandbox, trusted: Path | bool = True) -> requests.Response:
    verify = str(trusted) if isinstance(trusted, Path) else trusted
    url = f"{sandbox.url}/v1/send/7"
    return requests.post(url, json=BODY, headers=BEARER, timeout=5, verify=verify)


def refuse(*options: object) -> str:
    """Start a sandbox that ends at once; return what it says."""
    command = [sys.executable, "-m", "sandbox_sender", "--port", "0", *map(str, options)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=10)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


def test_a_message_over_https_is_accepted(secure: RunningSandbox, certificate: Certificate) -> None:
    assert secure.url.startswith("https://127.0.0.1:")
    assert post(secure, certificate.certfile).json() == {"code": 0, "message": "OK"}
    assert secure.get("/stats")["accepted"] == 1


def test_who_does_not_trust_the_certificate_sends_nothing(secure: RunningSandbox) -> None:
    with pytest.raises(requests.exceptions.SSLError, match="self-signed certificate"):
        post(secure)
    assert secure.get("/stats")["accepted"] == 0


def test_the_key_may_stand_in_the_file_of_the_certificate(
    certificate: Certificate, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_text(certificate.certfile.read_text() + certificate.keyfile.read_text())
    with run_sandbox("--certfile", str(both)) as sandbox:
        assert post(sandbox, certificate.certfile).status_code == 200


def test_a_reset_leaves_no_answer_over_https_either(
    secure: RunningSandbox, certificate: Certificate
) -> None:
    secure.set_faults(reset_after=1)
    with pytest.raises(requests.ConnectionError, match="Connection aborted"):
        post(secure, certificate.certfile)
    assert secure.get("/stats")["accepted"] == 1


def test_after_an_outage_it_serves_https_again(
    secure: RunningSandbox, certificate: Certificate
) -> None:
    secure.set_faults(outage=True)
    with pytest.raises(requests.ConnectionError, match="Connection refused"):
        post(secure, certificate.certfile)
    secure.set_faults()
    assert post(secure, certificate.certfile).status_code == 200


def test_a_missing_file_is_named(certificate: Certificate, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    said = f"Sandbox sender: There is no file {missing}.\n"
    assert refuse("--certfile", certificate.certfile, "--keyfile", missing) == said
    assert refuse("--certfile", missing) == said


def test_a_certificate_without_a_key_is_refused(certificate: Certificate) -> None:
    assert refuse("--certfile", certificate.certfile).startswith(
        f"Sandbox sender: {certificate.certfile} alone cannot be used"
    )


def test_a_key_of_another_certificate_is_refused(certificate: Certificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path).keyfile
    assert refuse("--certfile", certificate.certfile, "--keyfile", other).startswith(
        f"Sandbox sender: {certificate.certfile} and {other} cannot be used"
    )


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(
    certificate: Certificate, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(certificate.keyfile)]
    command += ["-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True)
    said = refuse("--certfile", certificate.certfile, "--keyfile", locked)
    assert "without a password" in said


def test_a_key_needs_a_certificate(certificate: Certificate) -> None:
    said = refuse("--keyfile", certificate.keyfile)
    assert said == "Sandbox sender: --keyfile needs the certificate of the key: --certfile.\n"
