"""Every well-formed answer settles; every other one is an error with a name, and no other exception."""

from __future__ import annotations

import json

import pytest

from cloud_sync.errors import SyncError, TransientSyncError
from cloud_sync.transports.answers import DETAIL_CHARS, detail_in, document_in, settlement_of
from cloud_sync.transports.mqtt.transport import answer_of
from cloud_sync.uplink.state import checked

GOOD = {"batch_id": "b1", "committed": True, "accepted": 1, "duplicates": 0, "rejected": []}
REFUSAL = {"index": 0, "code": "a", "detail": "b"}
NONE_OF_OURS = [
    {"accepted": 2**63}, {"accepted": 2**64 - 1}, {"accepted": 10**19}, {"accepted": 1e300}, {"accepted": [[]]},
    {"duplicates": -1}, {"duplicates": False}, {"rejected": {}}, {"rejected": "[]"}, {"rejected": [None]},
    {"rejected": [REFUSAL | {"index": 2**63}]}, {"rejected": [REFUSAL | {"index": True}]},
    {"rejected": [REFUSAL | {"detail": "\ud800"}]}, {"rejected": [REFUSAL | {"code": "\udfff"}]},
    {"batch_id": ["b1"]}, {"batch_id": "\x1b[2J"}, {"committed": "true"},
]  # fmt: skip


@pytest.mark.parametrize("change", NONE_OF_OURS)
@pytest.mark.parametrize("read", [settlement_of, answer_of])
def test_an_absurd_answer_settles_nothing_and_is_named_in_one_line(change: dict[str, object], read):
    with pytest.raises(TransientSyncError, match="does not settle batch b1") as caught:
        read(json.dumps(GOOD | change).encode(), batch_id="b1")
    assert caught.value.message.isprintable()


def test_a_count_that_python_can_hold_and_no_batch_has_is_compared_not_overflown():
    answer = settlement_of(json.dumps(GOOD | {"accepted": 10_000_000}).encode(), batch_id="b1")
    with pytest.raises(TransientSyncError, match="accounts for 10000000 records, the batch has 1"):
        checked(answer, 1)


def test_texts_of_a_refusal_are_one_line_and_bounded():
    said = GOOD | {"rejected": [REFUSAL | {"code": "c\x00", "detail": "x\n\x1b[31m" + "y" * 5_000}]}
    (refusal,) = settlement_of(json.dumps(said).encode(), batch_id="b1").refused
    assert refusal.code == "c\\x00"
    assert refusal.detail.startswith("x\\n\\x1b[31my")
    assert len(refusal.detail) == DETAIL_CHARS


@pytest.mark.parametrize(
    ("document", "line"),
    [({"detail": "busy\n"}, "busy\\n"), ({"detail": [{"loc": ["body", 0], "msg": "odd"}, 5]}, "body.0: odd"),
     ({"detail": {"a": 1}}, "no detail given"), ({"detail": []}, "no detail given"), ([], "no detail given")],
)  # fmt: skip
def test_the_centrals_own_words(document: object, line: str):
    assert detail_in(document_in(json.dumps(document).encode())) == line


@pytest.mark.parametrize("error", ["busy", "\ud800", 5, None, ["busy"], {}])
@pytest.mark.parametrize("wait", [1e308, -1, True, "3", 2**70, [], None])
def test_an_error_document_is_an_error_of_ours(error: object, wait: object):
    with pytest.raises(SyncError) as caught:
        answer_of(json.dumps({"error": error, "detail": "\x1b", "retry_after_s": wait}).encode(), batch_id="b1")
    assert caught.value.message.isprintable()
