"""What every test may use, what no test may leave behind, and who may run what."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from edge_agent.core.clock import FakeClock

# A busy machine takes ten times as long over one example; what one may take is nobody's promise.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# Whether the machine that runs the tests is synchronised is nobody's test: no agent waits for it unless a test says so.
os.environ.setdefault("EDGE_OUTBOX__HOLD_UNSYNCHRONISED_S", "0")

YOUNG_OBJECTS = 20_000  # before the collector looks at them; Python's own 700 is for small programs


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded before the first test stays to the end: the garbage collector need not walk it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `root` need root: without it they say so in one line, and in CI they fail."""
    if item.get_closest_marker("root") is None or os.geteuid() == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail("needs root; continuous integration must run as root", pytrace=False)
    pytest.skip("needs root (chroot, mounts, another user)")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    """Daemon threads and thread pools belong to their libraries; any other thread is a leak."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.daemon]
    left = [t for t in left if not t.name.startswith(("asyncio_", "ThreadPool"))]
    assert not left, f"threads left behind: {left}"
