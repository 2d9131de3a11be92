"""What every test may use, and what no test may leave behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edge_agent.core.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    """Daemon threads belong to thread pools and libraries; any other thread is a leak."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.daemon and "ThreadPool" not in t.name]
    left = [t for t in left if not t.name.startswith("asyncio_")]
    assert not left, f"threads left behind: {left}"
