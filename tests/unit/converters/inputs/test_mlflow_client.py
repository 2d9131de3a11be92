"""What a registry does not have, or what is no registry, is said in one line, with what there is instead."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import CardError, RegistryError
from converters.inputs.mlflow_client import _schemas, open_registry, without_credentials
from edge_agent.errors import BundleError, EdgeError
from tests.support.registry_store import Store, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("registry"))


def refusal(registry: str | None, address: str, tmp_path: Path, *more: str) -> EdgeError:
    places = ["--models", str(tmp_path / "models"), "--key", str(tmp_path / "key")]
    where = ["--registry", registry] if registry else []
    done = CliRunner(env={"MLFLOW_TRACKING_URI": None}).invoke(app, ["convert", address, *where, *places, *more])
    assert isinstance(done.exception, EdgeError), (done.output, done.exception)
    assert "\n" not in done.exception.message
    assert "secret@" not in done.exception.message
    assert done.exception.hint
    return done.exception


@pytest.mark.parametrize(
    ("address", "words", "hint"),
    [
        ("models:/pumps/1", "has no model 'pumps'", "there are: astray, gone, graph, levels, loose, oil, press, words"),
        ("models:/press/9", "press has no version 9", "there are: 1, 2"),
        (
            "models:/press@best",
            "press has no alias 'best'",
            "challenger (version 2), champion (version 1); versions: 1",
        ),
        ("models:/levels@best", "levels has no alias 'best'", "aliases: none; versions: 1"),
        ("models:/press", "does not name one version", "models:/pump@champion"),
        ("models:/press/latest", "does not name one version", "models:/pump/3"),
        ("models:/graph/1", "is of the flavour onnx; converted are sklearn, lightgbm, prophet", "as it was trained"),
        ("models:/words/1", "holds notes.md, of which 0 look like a model file", "sklearn, lightgbm, prophet"),
        ("models:/astray/1", "the files of sqlite:", "still there"),
        ("models:/gone/1", "are gone from its artifact store", "log the model again"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    store: Store, tmp_path: Path, address: str, words: str, hint: str
) -> None:
    error = refusal(store.uri, address, tmp_path)
    assert isinstance(error, RegistryError)
    assert (words in error.message, hint in (error.hint or "")) == (True, True), (error.message, error.hint)


def test_model_without_a_card_asks_for_one(store: Store, tmp_path: Path) -> None:
    error = refusal(store.uri, "models:/loose/1", tmp_path)
    assert isinstance(error, CardError)
    assert "no edge-card.toml lies with models:/loose/1" in error.message


def test_two_cards_in_one_run_are_not_chosen_between(store: Store, tmp_path: Path) -> None:
    first = store.artifacts("press") / "edge"
    shutil.copytree(first, first.parent / "other")
    error = refusal(store.uri, "models:/press/1", tmp_path)
    shutil.rmtree(first.parent / "other")
    assert "the run has 2 cards" in error.message


@pytest.mark.parametrize("file", ["/etc/hostname", "../../secret.csv", "a/../../b.csv"])
def test_card_in_the_registry_names_no_file_outside_of_its_folder(store: Store, tmp_path: Path, file: str) -> None:
    card = store.artifacts("press") / "edge" / "edge-card.toml"
    whole = card.read_text()
    card.write_text(whole.replace("healthy.csv", file))
    error = refusal(store.uri, "models:/press/1", tmp_path)
    card.write_text(whole)
    assert isinstance(error, CardError)
    assert (error.where, "outside of its folder" in error.message) == ("files.healthy", True)


def test_table_the_card_names_and_nobody_logged_is_a_refusal(store: Store, tmp_path: Path) -> None:
    table = store.artifacts("press") / "edge" / "golden.csv"
    table.rename(tmp_path / "golden.csv")
    error = refusal(store.uri, "models:/press/1", tmp_path)
    (tmp_path / "golden.csv").rename(table)
    assert "golden.csv, which was not logged with it" in error.message


def test_broken_card_is_named_by_its_address(store: Store, tmp_path: Path) -> None:
    card = store.artifacts("press") / "edge" / "edge-card.toml"
    whole = card.read_text()
    card.write_text(whole.replace("description", "descripton"))
    error = refusal(store.uri, "models:/press/1", tmp_path)
    card.write_text(whole)
    assert error.message.startswith("models:/press/1/edge-card.toml: description: is missing")


def test_registry_must_be_named(tmp_path: Path) -> None:
    error = refusal(None, "models:/press/1", tmp_path)
    assert "MLFLOW_TRACKING_URI" in (error.hint or "")


@pytest.mark.parametrize(
    ("registry", "words", "hint"),
    [
        ("./mlruns", "old file store", "sqlite:///"),
        ("file:///tmp/mlruns", "old file store", "mlflow migrate-filestore"),
        ("mysql://me:secret@host/runs", "mysql is no registry address", "MLflow server in front of it"),
    ],
)
def test_store_of_another_kind_is_refused(tmp_path: Path, registry: str, words: str, hint: str) -> None:
    error = refusal(registry, "models:/press/1", tmp_path)
    assert (words in error.message, hint in (error.hint or "")) == (True, True), (error.message, error.hint)
    assert "secret" not in error.message


def test_missing_store_is_refused_and_not_made(tmp_path: Path) -> None:
    assert (
        "there is no registry at sqlite:///" in refusal(f"sqlite:///{tmp_path}/no.db", "models:/a/1", tmp_path).message
    )
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be read as one", b""])
def test_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(content)
    assert "cannot be read as a registry" in refusal(f"sqlite:///{file}", "models:/a/1", tmp_path).message
    assert file.read_bytes() == content


@pytest.mark.parametrize(("schema", "words"), [("older", "an older MLflow"), ("ffffffffffff", "a newer MLflow")])
def test_store_of_another_schema_is_refused_before_mlflow_alters_it(
    store: Store, tmp_path: Path, schema: str, words: str
) -> None:
    newest, known = _schemas()
    copy = tmp_path / "mlflow.db"
    shutil.copy(store.path / "mlflow.db", copy)
    found = {"older": min(known - {newest})}.get(schema, schema)
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (found,))
        database.execute("DROP TABLE registered_model_aliases")
    before = hashlib.sha256(copy.read_bytes()).hexdigest()
    error = refusal(f"sqlite:///{copy}", "models:/press/1", tmp_path)
    assert words in error.message
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == before


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A real HTTP server that is no MLflow: one page, one status, whatever is asked."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>a page</html>")

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "words"),
    [(200, "is no MLflow server"), (404, "is no MLflow server"), (401, "does not let us in"), (403, "not let us in")],
)
def test_answer_of_something_else_is_told_apart_from_no_entry(tmp_path: Path, status: int, words: str) -> None:
    with answering(status) as registry:
        error = refusal(registry, "models:/press/1", tmp_path)
    assert words in error.message
    assert "secret" not in error.message + str(error.hint)


def test_server_that_does_not_answer_is_named_without_the_password(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    error = refusal(f"http://me:secret@127.0.0.1:{port}", "models:/press/1", tmp_path)
    assert error.message == f"no registry answers at http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:secret@host:5000/mlflow?token=secret#secret", "http://host:5000/mlflow"),
        ("https://me:se/cr@et@host", "https://host"),
        ("http://me:se#cret@host", "http://host"),
        ("https://host/a", "https://host/a"),
        ("sqlite:////var/a@b/mlflow.db?mode=ro", "sqlite:////var/a@b/mlflow.db"),
        ("./mlruns", "./mlruns"),
    ],
)
def test_address_is_shown_without_what_is_secret(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_open_registry_does_not_show_its_password() -> None:
    assert repr(open_registry("http://me:secret@127.0.0.1:5000")) == "Registry(address='http://127.0.0.1:5000')"


def test_folder_that_cannot_be_written_is_a_refusal(store: Store, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    error = refusal(store.uri, "models:/press/1", tmp_path)
    assert isinstance(error, BundleError)
    assert "cannot be written" in error.message
