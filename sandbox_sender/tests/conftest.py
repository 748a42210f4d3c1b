"""One sandbox for all tests of a module; each of them finds it without faults."""

from collections.abc import Iterator

import pytest

from sandbox_sender.launch import RunningSandbox, run_sandbox


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with run_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(running: RunningSandbox) -> Iterator[RunningSandbox]:
    yield running
    running.set_faults()
