"""What the code of another package raises goes out as one failure with its words."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.core.installed_parts import foreign_code
from edge_agent.errors import DriverError, SignalError


@pytest.mark.parametrize(
    ("raised", "words"),
    [(KeyError("rate"), "KeyError: 'rate'"), (OSError(), "OSError"), (SystemExit(2), "SystemExit: 2")],
)
def test_any_failure_and_any_exit_goes_out_as_ours(raised: BaseException, words: str):
    with pytest.raises(DriverError) as caught, foreign_code(DriverError):
        raise raised
    assert caught.value.message == words
    assert caught.value.__cause__ is raised


def test_what_passes_goes_out_as_it_is():
    with pytest.raises(SignalError, match="too short"), foreign_code(DriverError, passes=(SignalError,)):
        raise SignalError("too short")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError])
def test_the_end_of_the_program_or_task_is_no_failure_of_a_package(kind: type[BaseException]):
    with pytest.raises(kind), foreign_code(DriverError):
        raise kind
