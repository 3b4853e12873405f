"""The demo log, made once: what is taken from it is made anew for each test."""

import pytest

from tests.verifier.given import Log, demo_log


@pytest.fixture
def log() -> Log:
    return demo_log()
