"""The sandbox starts and stops as a good child process does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from sandbox_sender.launch import PROJECT, READY, RunningSandbox, run_sandbox

MODULE = [sys.executable, "-m", "sandbox_sender"]
MANAGE = [sys.executable, "manage.py", "sandbox_sender"]
ENVIRONMENT = {**os.environ, "SECRET_KEY": "for this test only"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MODULE, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=10
    )


@pytest.mark.parametrize("command", [MODULE, MANAGE], ids=["module", "manage.py"])
def test_it_prints_one_line_with_its_ports_and_stops_on_sigterm(command: list[str]) -> None:
    with subprocess.Popen(
        [*command, "--port", "0"],
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = READY.fullmatch(process.stdout.readline().strip())
        assert ready is not None
        for port in ready.groups()[1:]:
            socket.create_connection(("127.0.0.1", int(port)), 5).close()
        process.terminate()
        rest, errors = process.communicate(timeout=5)
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_whoever_is_waiting(number: signal.Signals) -> None:
    with run_sandbox("--faults", '{"latency": 3600}') as sandbox:
        with socket.create_connection(("127.0.0.1", sandbox.port), 5) as client:
            body = b'{"id": 1, "phone": 1, "text": ""}'
            client.sendall(
                b"POST /send/1 HTTP/1.1\r\nAuthorization: Bearer sandbox\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            while sandbox.get("/stats")["in_flight"] == 0:
                time.sleep(0.002)
            began_at = time.monotonic()
            sandbox.process.send_signal(number)
            assert sandbox.wait() == 0
        assert time.monotonic() - began_at < 2


@pytest.mark.parametrize("option", ["--port", "--control-port"])
def test_a_taken_port_is_one_clear_line(option: str) -> None:
    with run_sandbox() as sandbox:
        result = run("--port", "0", option, str(sandbox.port))
        expected = (
            f"Sandbox sender: Port {sandbox.port} on 127.0.0.1 cannot be used: it is taken. "
            "Choose another, or 0 for any.\n"
        )
        assert (result.returncode, result.stdout, result.stderr) == (1, "", expected)


def test_its_port_can_be_taken_again_at_once() -> None:
    with run_sandbox() as sandbox:
        socket.create_connection(("127.0.0.1", sandbox.port), 5).close()
        sandbox.get("/stats")
    with run_sandbox("--port", str(sandbox.port)) as again:
        assert again.port == sandbox.port


def test_a_wrong_fault_on_the_command_line_is_named() -> None:
    result = run("--faults", '{"latancy": 1}')
    assert result.returncode == 2
    assert "There is no fault 'latancy'. Choose from: latency," in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "65536"], "'65536' is not a port: choose one from 0 to 65535."),
        (["--port", "-1"], "'-1' is not a port"),
        (["--faults", "{"], "'{' is not JSON"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_the_help_knows_every_fault() -> None:
    text = " ".join(run("--help").stdout.split())
    assert "reset_after: rate of resets, the message accepted" in text
    assert "PUT or PATCH /faults" in text


def test_it_does_without_django() -> None:
    code = "import sys, sandbox_sender.__main__; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_a_sandbox_that_does_not_start_is_an_error_for_its_parent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with run_sandbox() as sandbox:
        with pytest.raises(RuntimeError, match="did not start: exit code 1"):
            RunningSandbox("--port", str(sandbox.port))
        assert "it is taken" in capfd.readouterr().err
