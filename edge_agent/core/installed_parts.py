"""Drivers, feature families and transports of other installed packages: whose they are, and what their code raises.

Each kind has its own loader (`settings.source_kinds`, `dsp.installed_families`, `delivery.installed_transports`).
What they share is here: an import may raise anything, print, or never end.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import EntryPoint
from typing import Any, Final

IMPORT_S: Final = 30.0
"""An import that takes longer is given up: systemd waits 180 s for a start."""

_lock = threading.Lock()
_under_way: dict[str, Future[Any]] = {}


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package that has this entry point; of none that is known, the module's."""
    return entry.dist.name if entry.dist is not None else entry.module


@contextmanager
def foreign_code(failure: Callable[[str], Exception], *, passes: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise `failure` of the words of whatever the code of another package raises in this block.

    Exceptions of the classes in `passes` go out as they are.
    """
    try:
        yield
    except passes:
        raise
    except (Exception, SystemExit) as exc:
        raise failure(in_words(exc)) from exc


def import_foreign(path: str, load: Callable[[], Any], *, within_s: float = IMPORT_S) -> Any:
    """Return what `load` imports for `path`; what it prints goes to standard error, since ours may be JSON.

    Raises whatever the import raises, and TimeoutError for one that takes too long. That one goes on in its thread, and
    whoever asks for the same path again waits for it, not for another.
    """
    with redirect_stdout(sys.stderr):
        loaded = _begun(path, load)
        try:
            return loaded.result(within_s)
        except TimeoutError:
            if loaded.done():  # it raised one itself
                raise
            raise TimeoutError(f"the import takes longer than {within_s:.0f} s") from None
        finally:
            if loaded.done():
                _under_way.pop(path, None)


def _begun(path: str, load: Callable[[], Any]) -> Future[Any]:
    with _lock:
        loaded = _under_way.get(path)
        if loaded is None:
            loaded = _under_way[path] = Future()
            threading.Thread(target=_load, args=(load, loaded), name=f"import of {path}", daemon=True).start()
    return loaded


def in_words(exc: BaseException) -> str:
    """Return the error's kind and text, or its kind alone when it has no text or cannot make it."""
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001 - the class of the error is somebody else's, too
        text = ""
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _load(load: Callable[[], Any], loaded: Future[Any]) -> None:
    try:
        loaded.set_result(load())
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - raised again where somebody waits for it
        loaded.set_exception(exc)
    except BaseException as exc:  # noqa: BLE001 - a KeyboardInterrupt here is no Ctrl-C
        loaded.set_exception(ImportError(in_words(exc)))
