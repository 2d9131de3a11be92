"""The door of a server's certificate: valid ones with some bytes changed, judged before anything else is believed."""

from __future__ import annotations

import contextlib
import functools
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.drivers.opcua.security.trust import TrustRules, findings
from tests.fuzz.door import Door, Enter
from tests.fuzz.generator import damaged
from tests.support.opcua_pki import Pair, make_pair

_CHUNKS = (
    b"\x30\x80", b"\x30\x82\xff\xff", b"\x06\x03\x2a\x03\x04", b"\x05\x00", b"\x02\x01\x00", b"\xff" * 8, b"\0" * 300,
)  # fmt: skip


@functools.cache
def _pairs() -> tuple[Pair, Pair]:
    with tempfile.TemporaryDirectory() as folder:
        authority = make_pair(Path(folder), "ca", key=4, is_authority=True, hosts=(), uri=None)
        return authority, make_pair(Path(folder), "server", key=1, issuer=authority)


def _chain(rng: random.Random) -> bytes:
    authority, server = _pairs()
    return damaged(rng, server.der + (authority.der if rng.random() < 0.5 else b""), _CHUNKS)


@contextlib.contextmanager
def _judging() -> Iterator[Enter]:
    authority, _ = _pairs()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ca.der"
        file.write_bytes(authority.der)
        rules = TrustRules("opc.tcp://localhost:4840", ca_file=file)
        yield lambda content: findings(content, rules, datetime.now(UTC))


DOORS = (Door("opcua-certificates", _chain, _judging, ()),)
