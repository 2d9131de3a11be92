"""Which answers count as a central's, with what is known of it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from cloud_sync.answer_proof import Identity
from cloud_sync.transports.http_exchange import Answer
from cloud_sync.transports.known_central import FILE_NAME, KnownCentral

URL = "https://central.example.com"
OURS = {"Content-Type": "application/json; charset=utf-8"}


def answer(status: int, body: bytes, headers: dict[str, str], identity: Identity = Identity.NONE) -> Answer:
    return Answer(status, httpx.Headers(headers), body, URL, identity)


def proven(status: int = 200) -> Answer:
    return answer(status, b"{}", OURS, Identity.PROVEN)


ERROR = answer(413, b'{"detail": "too large"}', OURS)
SETTLEMENT = answer(200, b"{}", OURS)


def test_an_older_central_is_known_by_the_form_of_its_errors() -> None:
    known = KnownCentral()
    assert known.is_its_answer(ERROR)
    assert known.is_its_answer(SETTLEMENT)
    assert known.is_its_answer(answer(500, b"", {}, Identity.CLAIMED))


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"<html>", {"Content-Type": "text/html"}), (b'{"detail": "x"}', {"Content-Type": "text/html"}),
     (b'{"detail": "x"}', {}), (b'{"message": "forbidden"}', OURS), (b'{"detail": "x"', OURS),
     (b"", OURS), (b"[]", OURS)],
)  # fmt: skip
def test_errors_of_another_form_are_somebody_elses(body: bytes, headers: dict[str, str]) -> None:
    assert not KnownCentral().is_its_answer(answer(413, body, headers))


def test_a_central_that_proved_an_answer_must_prove_every_one() -> None:
    known = KnownCentral()
    known.note(SETTLEMENT)
    assert not known.must_prove
    known.note(proven())
    assert known.must_prove
    assert known.is_its_answer(proven(503))
    for other in (ERROR, SETTLEMENT, answer(413, b"", OURS, Identity.CLAIMED)):
        assert not known.is_its_answer(other)


@pytest.mark.parametrize("demand", ["auto", "always", "never"])
def test_a_proof_that_does_not_fit_is_nobodys(demand) -> None:
    assert not KnownCentral(demand=demand).is_its_answer(answer(200, b"{}", OURS, Identity.WRONG))


def test_what_is_asked_for_can_be_set() -> None:
    assert not KnownCentral(demand="always").is_its_answer(SETTLEMENT)
    never = KnownCentral(demand="never")
    never.note(proven())
    assert never.is_its_answer(SETTLEMENT)


async def test_it_is_remembered_over_a_restart_and_forgotten_with_another_address(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    known = KnownCentral(URL, file=file)
    await known.keep()
    assert not file.exists()
    known.note(proven())
    await known.keep()
    assert file.stat().st_mode & 0o077 == 0
    assert KnownCentral(URL, file=file).must_prove
    assert not KnownCentral("https://another.example.com", file=file).must_prove


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff" * 100, b'{"url": 7}', b" " * 20_000])
def test_a_damaged_memory_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert not KnownCentral(URL, file=tmp_path / FILE_NAME).must_prove


async def test_a_folder_that_takes_nothing_costs_only_the_memory(tmp_path: Path) -> None:
    known = KnownCentral(URL, file=tmp_path / "not there" / FILE_NAME)
    known.note(proven())
    await known.keep()
    assert known.must_prove
