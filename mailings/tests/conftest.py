"""Tests of the tasks use the scenes of the engine's tests."""

from messages_app.tests.conftest import scripted

__all__ = ["scripted"]
