"""What the kernel says of its clock."""

from __future__ import annotations

from edge_agent.health.clock_quality import ClockQuality, KernelClock, ask_kernel


def test_the_kernel_is_asked_at_most_once_in_a_second() -> None:
    answers, now_s = [KernelClock(is_synced=True), KernelClock(is_synced=False)], [0.0]
    quality = ClockQuality(ask=lambda: answers.pop(0), monotonic_s=lambda: now_s[0])
    assert [quality(), quality()] == [True, True]
    now_s[0] = 1.0
    assert quality() is False


def test_the_kernel_gives_a_plain_answer() -> None:
    assert ask_kernel().is_synced in (True, False)
