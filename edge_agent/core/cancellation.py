"""A cancellation that a library kept for itself, found again."""

from __future__ import annotations

import asyncio


def check_cancelled() -> None:
    """Raise CancelledError when this task has been told to end, whatever was done with the cancellation since.

    `asyncio.wait_for` of Python 3.11 drops one that arrives in the turn of its answer, and a library may take one
    for an error of its link. The task still counts it: called after each return from such a library, this ends the
    task at once instead of at its next chance, which may never come. Not for a task that catches what a TaskGroup of
    its own raised: up to Python 3.12 that leaves the group's cancellation counted.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
