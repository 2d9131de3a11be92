"""What the header of a central says of an answer, and what its challenge says of a request."""

from __future__ import annotations

import pytest

from cloud_sync.answer_proof import Identity, identity_header, identity_in, is_body_of, new_challenge

KEY = "the-key-of-gw-1"
BODY = b'{"committed": true}'


def seen(header: str | None, *, key: str = KEY, challenge: str, status: int = 200, body: bytes = BODY) -> Identity:
    return identity_in(header, key, challenge, status=status, body=body)


def test_a_proof_fits_the_answer_it_was_made_for_and_no_other() -> None:
    challenge = new_challenge(b"a batch")
    header = identity_header(KEY, challenge, status=200, body=BODY)
    assert seen(header, challenge=challenge) is Identity.PROVEN
    assert seen(header, challenge=new_challenge(b"a batch")) is Identity.WRONG  # an answer kept from before
    assert seen(header, challenge=challenge, body=BODY[:-1]) is Identity.WRONG
    assert seen(header, challenge=challenge, status=413) is Identity.WRONG
    assert seen(header, challenge=challenge, key="another") is Identity.WRONG


@pytest.mark.parametrize(("key", "challenge"), [("", "0" * 16), (KEY, ""), (KEY, "not a challenge"), (KEY, "0" * 17)])
def test_without_a_key_or_a_challenge_it_is_only_claimed(key: str, challenge: str) -> None:
    header = identity_header(key, challenge, status=401, body=b"")
    assert seen(header, challenge="0" * 16) is Identity.CLAIMED


@pytest.mark.parametrize("header", ["", "yes", "1 proof=", "1 proof=" + "g" * 32, "1 proof=" + "0" * 32, "1, 1"])
def test_a_header_that_nobody_of_ours_sends_is_wrong(header: str) -> None:
    assert seen(header, challenge="0" * 16) is Identity.WRONG


def test_an_answer_without_the_header_says_nothing() -> None:
    assert seen(None, challenge="0" * 16) is Identity.NONE


def test_a_challenge_knows_the_body_it_was_sent_with() -> None:
    challenge = new_challenge(b"a batch")
    assert is_body_of(challenge, b"a batch")
    assert not is_body_of(challenge, b"a bat")
    assert is_body_of("", b"of an older gateway")
