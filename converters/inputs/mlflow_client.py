"""The only door to MLflow: asks a registry, takes files out of it, and translates what goes wrong there.

Constraints
- mlflow is imported when a registry is opened, never before; it reports to nobody and prints nothing.
- Nothing in the registry changes. MLflow makes a missing SQLite file and may alter one of an older schema as soon as it
  looks at it, so both are refused before it does.
- What stands before an @ in an address, or behind a ?, never reaches a message or a manifest.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from converters.errors import RegistryError

_SQLITE: Final = "sqlite:///"
_HTTP: Final = ("http://", "https://")
_SETTINGS: Final = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # Its own 7 tries with doubling pauses keep a person waiting for four minutes over a wrong address.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Where the environment does not say otherwise."""

_LONGEST: Final = 300
"""Of what MLflow says, which may quote a whole page."""

_NO_ENTRY: Final = frozenset({"CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED", "PERMISSION_DENIED"})
_NOT_THERE: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_USERINFO: Final = re.compile(r"(?<=//)[^\s'\"]*@")


def without_credentials(address: str) -> str:
    """Return the address with neither user, password, query nor fragment."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    rest = rest.rpartition("@")[2] if scheme != "sqlite" else rest
    return f"{scheme}://{re.split('[?#]', rest)[0]}"


@dataclass(frozen=True, slots=True)
class Registry:
    """An open registry. `address` is fit to be shown. Every method raises RegistryError."""

    address: str
    _uri: str = field(repr=False)
    _client: Any = field(repr=False)

    def model(self, name: str) -> Any:
        """Return the registered model, with its tags and aliases. None when there is none of that name."""
        with self._asked():
            return self._found(self._client.get_registered_model, name)

    def names(self) -> list[str]:
        """Return names of registered models, at most 100."""
        with self._asked():
            return [model.name for model in self._client.search_registered_models(max_results=100)]

    def version(self, name: str, number: str) -> Any:
        """Return one version of a model. None when there is no such version."""
        with self._asked():
            return self._found(self._client.get_model_version, name, number)

    def numbers(self, name: str) -> list[str]:
        """Return numbers of a model's versions, at most 100, in order."""
        quoted = name.replace("'", "\\'")
        with self._asked():
            found = self._client.search_model_versions(f"name = '{quoted}'", max_results=100)
            return sorted((str(version.version) for version in found), key=int)

    def run(self, run_id: str) -> Any:
        """Return a run with its parameters and metrics. None when it was deleted for good."""
        with self._asked():
            return self._found(self._client.get_run, run_id)

    def location(self, version: Any) -> str:
        """Return where the version's files are, as `files` and `take` want it."""
        with self._asked():
            source = str(self._client.get_model_version_download_uri(version.name, version.version))
            logged = re.fullmatch(r"models:/([^/@]+)", source)
            place = self._client.get_logged_model(logged[1]).artifact_location if logged else source
            return str(place).rstrip("/")

    def files(self, location: str) -> dict[str, bool]:
        """Return names of files (False) and folders (True) directly in a location."""
        with self._asked(), self._artifacts(location) as artifacts:
            return {entry.path.rpartition("/")[2]: bool(entry.is_dir) for entry in artifacts.list_artifacts(None)}

    def flavours(self, location: str, description: str) -> dict[str, dict[str, Any]]:
        """Return what an MLmodel file says about how the model was written."""
        from mlflow.models import Model

        with tempfile.TemporaryDirectory() as scratch:
            taken = self.take(location, description, Path(scratch))
            with self._asked():
                return dict(Model.load(str(taken)).flavors)

    def take(self, location: str, file: str, into: Path) -> Path:
        """Copy one file to `into / file` and return it."""
        into.mkdir(parents=True, exist_ok=True)
        with self._asked(), self._artifacts(location) as artifacts:
            return Path(artifacts.download_artifacts(file, dst_path=str(into)))

    @contextlib.contextmanager
    def _artifacts(self, location: str) -> Iterator[Any]:
        """MLflow leaves the threads of each artifact store to the garbage collector; here they end."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        artifacts = get_artifact_repository(location, tracking_uri=self._uri, registry_uri=self._uri)
        with artifacts.thread_pool:
            yield artifacts

    def _asked(self) -> contextlib.AbstractContextManager[None]:
        return _translated(self.address)

    def _found(self, ask: Any, *what: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return ask(*what)
        except MlflowException as exc:
            if exc.error_code in _NOT_THERE:
                return None
            raise


def open_registry(uri: str) -> Registry:
    """Return the registry behind `sqlite:///path` or the address of an MLflow server.

    Raises RegistryError: no such store, a folder instead of a database, a schema of another MLflow, not reachable,
    refused by the server, or mlflow is not installed.
    """
    address = without_credentials(uri)
    if not uri.startswith((_SQLITE, *_HTTP)):
        raise _unknown_store(address)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    _import()
    if uri.startswith(_SQLITE):
        _check_file(Path(urlsplit(uri).path[1:]), address)
    with _translated(address):
        from mlflow import MlflowClient

        return Registry(address, uri, MlflowClient(tracking_uri=uri, registry_uri=uri))


def _unknown_store(address: str) -> RegistryError:
    scheme = address.partition(":")[0]
    if "://" in address and scheme != "file":
        return RegistryError(
            f"{scheme} is no registry address known here: there are sqlite:///path, http:// and https://",
            hint="for another database give the address of the MLflow server in front of it",
        )
    return RegistryError(
        f"{address} is a folder of MLflow's old file store, which MLflow 3 itself no longer opens",
        hint="move it into a database with `mlflow migrate-filestore`, then name that: sqlite:///path/to/mlflow.db",
    )


def _import() -> None:
    try:
        with _quietly():
            import mlflow  # noqa: F401
    except ImportError as exc:
        raise RegistryError(
            f"reading a registry needs {exc.name}, which is not installed here",
            hint="pip install 'smart-maintenance-edge[convert]'",
        ) from exc


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """MLflow's tables are deprecated under it by SQLAlchemy, and it tells of each step it takes; neither is news."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextlib.contextmanager
def _translated(address: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        with _quietly():
            yield
    except MlflowException as exc:
        raise _refusal(exc, address) from exc
    except ImportError as exc:
        needed = {"botocore": "boto3"}.get(str(exc.name), exc.name)
        raise RegistryError(
            f"the files of {address} lie in a store that needs {needed}, which is not installed here",
            hint=f"pip install {needed}",
        ) from exc
    except _storage_errors() as exc:
        raise RegistryError(
            f"the files of {address} cannot be had: {_shown(str(exc))}",
            hint="check that they are still there, and the access to the store they are in",
        ) from exc


def _storage_errors() -> tuple[type[Exception], ...]:
    """What reading an artifact store ends in; MLflow passes on what the cloud stores' libraries raise.

    Of these only those in use are looked up.
    """
    known = (
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("azure.core.exceptions", "AzureError"),
        ("google.api_core.exceptions", "GoogleAPIError"),
        ("google.auth.exceptions", "GoogleAuthError"),
    )
    in_use = (getattr(sys.modules[module], name) for module, name in known if module in sys.modules)
    return (OSError, ValueError, *in_use)


def _refusal(exc: Any, address: str) -> RegistryError:
    from requests import RequestException

    shown = _shown(str(exc.message))
    if exc.error_code in _NO_ENTRY:
        return RegistryError(
            f"{address} does not let us in",
            hint="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        )
    if any(isinstance(cause, RequestException) for cause in (exc.__cause__, exc.__context__)):
        return RegistryError(
            f"no registry answers at {address}", hint="check host and port, and that the MLflow server runs"
        )
    if exc.error_code == "ENDPOINT_NOT_FOUND" or "valid JSON" in shown:
        return RegistryError(
            f"what answers at {address} is no MLflow server", hint="give the address MLflow's own pages are under"
        )
    return RegistryError(
        f"{address}: {shown}", hint="look at this version in MLflow's own pages, or at its server's log"
    )


def _shown(text: str) -> str:
    """On one line, without passwords, not longer than a person reads."""
    return _USERINFO.sub("", " ".join(text.split()))[:_LONGEST]


def _check_file(path: Path, address: str) -> None:
    """Read-only, before MLflow sees it."""
    if not path.is_file():
        raise RegistryError(
            f"there is no registry at {address}", hint="sqlite:/// and then the path; an absolute one has four /"
        )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            found = [str(row[0]) for row in database.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.Error as exc:
        raise RegistryError(
            f"{address} cannot be read as a registry of MLflow: {exc}", hint="name the file the MLflow server was given"
        ) from exc
    newest, known = _schemas()
    if found == [newest]:
        return
    if not set(found) <= known:
        raise RegistryError(
            f"{address} was written by a newer MLflow (schema {', '.join(found)})", hint="install that MLflow here"
        )
    raise RegistryError(
        f"{address} was written by an older MLflow (schema {', '.join(found) or 'none'}, here {newest})",
        hint=f"copy it, then `mlflow db upgrade {address}`; or ask the MLflow server in front of it",
    )


def _schemas() -> tuple[str, frozenset[str]]:
    """The schema of the installed MLflow, and all it knows of."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return str(scripts.get_current_head()), frozenset(script.revision for script in scripts.walk_revisions())
