"""Fixtures of the page's tests."""

import pytest
from browser import browser


@pytest.fixture(scope="module")
def chromium():
    """Playwright runs an event loop as long as it is open, and no later test of this process could start its own."""
    with browser() as opened:
        yield opened
