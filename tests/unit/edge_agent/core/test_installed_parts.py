"""What the code of another package raises goes out as one failure with its words; its import is bounded and quiet."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edge_agent.core.installed_parts import foreign_code, import_foreign, in_words
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


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no"), "ValueError: no"), (ValueError(), "ValueError"), (SpeechlessError(), "SpeechlessError")],
)
def test_an_error_in_words(error: Exception, said: str) -> None:
    assert in_words(error) == said


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(SystemExit(3), SystemExit), (KeyboardInterrupt(), ImportError), (TimeoutError(), TimeoutError)],
)
def test_what_an_import_raises_arrives(raised: BaseException, seen: type[BaseException]) -> None:
    with pytest.raises(seen):
        import_foreign("raising", lambda: raising(raised))


def test_what_an_import_prints_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    import_foreign("printing", lambda: print("hello"))
    assert capsys.readouterr() == ("", "hello\n")


def test_an_import_that_does_not_end_is_given_up_and_not_begun_twice() -> None:
    go_on, begun = threading.Event(), []

    def load() -> str:
        begun.append(1)
        go_on.wait()
        return "loaded"

    for _ in range(2):
        with pytest.raises(TimeoutError, match="the import takes longer than 0 s"):
            import_foreign("endless", load, within_s=0.01)
    go_on.set()
    assert import_foreign("endless", load) == "loaded"
    assert begun == [1]
