"""Fixtures of the page's tests."""

import pytest
from browser import browser


@pytest.fixture(scope="session")
def chromium():
    with browser() as opened:
        yield opened
