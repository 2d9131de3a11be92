"""A child that parses: what comes back, and what its death is called."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import ParserDiedError, RecordingError
from edge_agent.isolation import ParserProcess, ProcessLimits
from edge_agent.isolation import child as child_side
from edge_agent.isolation.frames import PREFIX, MessageError, decode, encode
from edge_agent.recordings.recording import usable_rate

SNEAKED_IN = "import os, signal, sys, time, numpy\n"


@pytest.fixture(scope="module")
def parser():
    process = ParserProcess()
    yield process
    process.close()


def of_module(name: str, module: str):
    """A function that is only named here; the child finds it."""

    def function() -> None: ...

    function.__module__, function.__qualname__ = module, name
    return function


@pytest.fixture
def misbehaving(tmp_path, monkeypatch, parser):
    """A module of the project, as far as the child can tell, with functions that end it in every way."""
    package = tmp_path / "converters"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "bad.py").write_text(
        SNEAKED_IN
        + "def segv():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
        + "def spin():\n    while True: pass\n"
        + "def sleep():\n    time.sleep(60)\n"
        + "def leave():\n    os._exit(7)\n"
        + "def fail():\n    raise LookupError('no such \\x1b[31m table')\n"
        + "def hoard():\n    return numpy.ones(2**31).sum()\n"
        + "def chatter():\n    os.write(1, b'x' * 100000); print('y'); return 5\n"
        + "def babble():\n    os.write(3, b'\\xff' * 100); os._exit(0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    parser.close()  # the next child sees this path
    yield lambda name: of_module(name, "converters.bad")
    parser.close()


def test_numbers_bytes_and_arrays_come_back_as_they_went(parser):
    arrays = [np.arange(6.0).reshape(2, 3), np.empty((0, 2), np.float32), np.array(3, np.int16), np.array([1 + 2j])]
    value = {"a": arrays, "b": b"\x00\xff", "c": [None, True, 1.5, "gr\u00fcn", {"d": float("inf")}]}
    pieces = b"".join(bytes(piece) for piece in encode(value))
    n_header, n_body = PREFIX.unpack_from(pieces)
    header, body = pieces[PREFIX.size : PREFIX.size + n_header], memoryview(pieces)[PREFIX.size + n_header :]
    assert len(body) == n_body
    back = decode(header, body)
    for sent, got in zip(arrays, back["a"], strict=True):
        assert (sent.dtype, sent.shape) == (got.dtype, got.shape)
        np.testing.assert_array_equal(sent, got)
    assert (back["b"], back["c"]) == (value["b"], value["c"])


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"{", b""), (b'{"$bytes": 4}', b"abc"), (b'{"$bytes": -1}', b""), (b'{"$array": ["O", [1]]}', b"12345678"),
        (b'{"$array": ["<f8", [-1]]}', b""), (b'{"$array": ["<f8", [99999999999, 9999999999999]]}', b""), (b"1", b"x"),
        (b"[" * 100_000, b""), (b'{"$array": ["<f8"]}', b""), (b'{"$array": 5}', b""),
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_frame_is_refused_before_anything_is_made_of_it(header, body):
    with pytest.raises(MessageError):
        decode(header, memoryview(body))


def test_objects_are_never_carried():
    with pytest.raises(TypeError):
        encode(np.array([object()]))


def test_a_value_and_a_refusal_come_back_from_one_child(parser):
    assert parser.call(usable_rate, 48_000.0, "a.wav") == 48_000.0
    with pytest.raises(RecordingError, match=r"a\.wav: a sampling rate of 0\.0 Hz is not possible"):
        parser.call(usable_rate, 0.0, "a.wav")


@pytest.mark.parametrize(
    ("name", "limits", "message"),
    [
        ("segv", ProcessLimits(), "the parser ended by signal SIGSEGV"),
        ("spin", ProcessLimits(cpu_s=1), "the parser was stopped after 1 s of processor time"),
        ("sleep", ProcessLimits(wall_s=1.0), "the parser was stopped after 1 s"),
        ("leave", ProcessLimits(), "the parser ended: it ended before it had answered"),
        ("fail", ProcessLimits(), "the parser ended: LookupError: no such \\x1b[31m table"),
        ("hoard", ProcessLimits(), "the parser wanted more than 2048 MiB of memory"),
        ("babble", ProcessLimits(), "the parser ended: it answered with 36893488147419103230 bytes"),
    ],
)
def test_however_the_child_ends_it_is_named_and_the_next_call_is_served(misbehaving, parser, name, limits, message):
    with pytest.raises(ParserDiedError) as caught:
        parser.call(misbehaving(name), limits=limits)
    assert caught.value.message == message
    assert parser.call(usable_rate, 1.0, "a") == 1.0


def test_a_call_that_is_interrupted_ends_at_once(misbehaving, parser):
    assert parser.call(usable_rate, 1.0, "a") == 1.0  # the child is there
    said: list[str] = []

    def call() -> None:
        with pytest.raises(ParserDiedError) as caught:
            parser.call(misbehaving("sleep"), limits=ProcessLimits(wall_s=600.0))
        said.append(caught.value.message)

    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive():
        parser.interrupt()
        thread.join(0.05)
    assert said == ["the parser ended by signal SIGKILL"]


def test_what_a_library_prints_is_no_answer(misbehaving, parser):
    assert parser.call(misbehaving("chatter")) == 5


def test_an_answer_beyond_the_bound_is_refused(parser):
    with pytest.raises(ParserDiedError, match="it answered with"):
        parser.call(usable_rate, 1.0, "a", limits=ProcessLimits(answer_bytes=-1))


def test_a_child_that_went_idle_is_replaced_without_a_word(parser, monkeypatch):
    monkeypatch.setattr(child_side, "IDLE_S", 0.0)
    monkeypatch.setattr(
        "edge_agent.isolation.process._START",
        "import json,sys; sys.path[:] = json.loads(sys.argv[1]); from edge_agent.isolation import child;"
        " child.IDLE_S = 0.2; child.main()",
    )
    parser.close()
    assert parser.call(usable_rate, 1.0, "a") == 1.0
    first = parser._child
    assert first.wait(30) == 0
    assert parser.call(usable_rate, 2.0, "a") == 2.0
    assert parser._child.pid != first.pid


def test_only_functions_of_this_project_run(parser):
    with pytest.raises(ParserDiedError, match="os:getpid is no function of this project"):
        parser.call(of_module("getpid", "os"))


def test_threads_wait_for_one_another(parser):
    answers: list[float] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(parser.call(usable_rate, float(n), "a")))
        for n in range(1, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_nothing_is_left_open_after_the_end():
    before = set(Path("/proc/self/fd").iterdir())
    process = ParserProcess()
    process.call(usable_rate, 1.0, "a")
    process.close()
    assert set(Path("/proc/self/fd").iterdir()) == before
