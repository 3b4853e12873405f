"""These tests are about the compiled path itself: with it switched off there is nothing that they could say."""

import pytest

from web.settings import read_settings


@pytest.fixture(scope="session", autouse=True)
def _only_compiled() -> None:
    if not read_settings({}).compiled_documents:
        pytest.skip("compiled documents are off")
