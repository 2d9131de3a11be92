"""Who is said to have answered, and what to do about it, for answers that are no central's."""

from __future__ import annotations

import httpx
import pytest

from cloud_sync.answer_proof import Identity
from cloud_sync.errors import BatchTooLargeError, TransientSyncError
from cloud_sync.transports.http_exchange import Answer
from cloud_sync.transports.speaker import host_of, no_central, speaker_of, unbelieved

URL = "https://central.example.com:8443/api/v1/data/ingest/batch"


def answer(status: int, headers: dict[str, str] | None = None, *, identity: Identity = Identity.NONE) -> Answer:
    return Answer(status, httpx.Headers(headers or {}), b"<html>", URL, identity)


def test_it_is_called_by_its_own_headers_and_the_host_that_was_asked() -> None:
    assert speaker_of(answer(404, {"Server": "nginx/1.22"})) == "nginx/1.22 (Server header) at central.example.com:8443"
    assert speaker_of(answer(404)) == "something that does not say its name at central.example.com:8443"
    through = speaker_of(answer(404, {"Server": "squid", "Via": "1.1 site-proxy"}))
    assert through.endswith("at central.example.com:8443, through 1.1 site-proxy (Via header)")


def test_its_texts_are_one_short_printable_line() -> None:
    said = no_central(answer(403, {"Server": "\x1b[2Jnginx" + "x" * 5_000})).message
    assert "\x1b" not in said
    assert len(said) < 300


@pytest.mark.parametrize(
    ("status", "said", "do"),
    [(401, "a sign-in of its own", "let this gateway through"), (403, "forbids", "let this gateway through"),
     (404, "path is not there", "central.url"), (405, "no batches", "central.url"),
     (407, "name and a password", "central.proxy"), (408, "whole request", "time"),
     (411, "Content-Length", "Content-Length"), (415, "form", "Content-Encoding"), (429, "how often", "limit"),
     (451, "blocks", "web filter"), (500, "does not get through", "log"), (502, "does not get through", "log"),
     (511, "log-in", "log this box in"), (418, "no central says", "central.url")],
)  # fmt: skip
def test_each_status_says_what_it_means_and_what_to_do(status: int, said: str, do: str) -> None:
    failure = no_central(answer(status))
    assert type(failure) is TransientSyncError
    assert f"answered {status}: " in failure.message
    assert said in failure.message
    assert do in str(failure.hint)
    assert not failure.is_centrals


def test_a_limit_of_somebody_in_between_is_none_of_the_centrals() -> None:
    failure = no_central(answer(413))
    assert isinstance(failure, BatchTooLargeError)
    assert not failure.is_centrals
    assert "client_max_body_size" in str(failure.hint)
    alone = failure.of_one_record()
    assert isinstance(alone, TransientSyncError)
    assert "to a single record as well" in alone.message


def test_a_redirect_to_another_host_is_a_portal_and_shows_no_question() -> None:
    found = no_central(answer(302, {"Location": "http://name:secret@portal.example/login?key=s3cr3t"}))
    assert "it redirects to http://portal.example/login: a captive portal wants a log-in" in found.message
    assert "secret" not in found.message + str(found.hint)
    assert "the key stays here" in str(found.hint)


@pytest.mark.parametrize("location", ["/elsewhere", "https://central.example.com/api"])
def test_a_redirect_on_the_same_host_is_about_the_address(location: str) -> None:
    found = no_central(answer(308, {"Location": location}))
    assert "it redirects to https://central.example.com" in found.message
    assert "central.url" in str(found.hint)


@pytest.mark.parametrize("location", ["", "http://[::1/", "mailto:nobody", "http://[", "//"])
def test_a_redirect_to_nowhere_is_said_as_such(location: str) -> None:
    headers = {"Location": location} if location else {}
    assert "redirects to" in no_central(answer(301, headers)).message


def test_an_answer_that_was_changed_on_the_way_is_said_so() -> None:
    for found in (unbelieved(answer(200, identity=Identity.WRONG)), no_central(answer(422, identity=Identity.WRONG))):
        assert "its proof does not fit" in found.message
        assert "pass them on as they are" in str(found.hint)
    assert "without the proof" in unbelieved(answer(200)).message
    assert "central.proof" in str(unbelieved(answer(200)).hint)


@pytest.mark.parametrize("url", ["", "http://[", "nonsense"])
def test_an_address_that_is_none_has_a_name_all_the_same(url: str) -> None:
    assert host_of(url) == "the address asked"
