"""Doors of what lies in a file or in the environment: settings, bundles, keys, a status that was left behind."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from edge_agent.bundles.archive import BUNDLE_FILES, unpack
from edge_agent.bundles.bundle import _parse, read_bundle
from edge_agent.bundles.isolated_proof import prove_elsewhere
from edge_agent.bundles.keyring import parse_signature, read_key_ring
from edge_agent.bundles.manifest import MANIFEST_FILE, MODEL_FILE
from edge_agent.bundles.store import BundleStore
from edge_agent.errors import BundleError, ConfigurationError
from edge_agent.settings.load import load_settings
from edge_agent.settings.toml_file import find_settings_file, read_document
from tests.fuzz.door import Door, Enter, simple
from tests.fuzz.generator import EXTREMES, damaged, document, encoded
from tests.support.databases import REPOSITORY

SITES = [path.read_text() for path in sorted((REPOSITORY / "config").rglob("*.toml"))]
MANIFESTS = [json.loads(path.read_text()) for path in sorted((REPOSITORY / "models_onnx").rglob("manifest.json"))]
BUNDLES = [path.parent for path in sorted((REPOSITORY / "models_onnx").rglob("manifest.json"))]
VARIABLES = (
    "EDGE_GATEWAY", "EDGE_GATEWAY__ID", "EDGE_CENTRAL", "EDGE_CENTRAL__ANSWER_TIMEOUT_S", "EDGE_CENTRAL__MQTT",
    "EDGE_OUTBOX__MAX_BYTES", "EDGE_OUTBOX__MAX_AGE_DAYS", "EDGE_SOURCES", "EDGE_TAG_MODELS",
    "EDGE_MODELS__PULL_EVERY_S",
    "EDGE_REPORT__INTERVAL_S", "EDGE_CONFIG", "EDGE_SOURCES__0__NAME", "EDGE_CENTRAL__API_KEY", "EDGE_", "EDGE_TABLES",
)  # fmt: skip
TEXTS = ("5", "-1", "true", "none", '{"id": "gw-2", "site": "s"}', '[{"type": "modbus"}]', "{}", "[]", "10 GB", "null")
_TOML_EXTREMES = (
    b"9999999999999999999999", b"9" * 5_000, b"nan", b"inf", b"-inf", b"1e999", b'"\\ud800"', b'"\\u0000"', b"true",
    b"0000-00-00", b"9999-12-31T23:59:59.999999999+99:99", b"1979-05-27T00:32:00Z", b"[" * 3_000,
    b"[[sources]]\n" * 500,
    b"a." * 3_000 + b"a = 1\n", b"{a={b={}}}", b"'''", b'"""', b"#", b"\xff\xfe", b"\x00", b'"../../x"',
    b"0x" + b"f" * 40,
)  # fmt: skip


def in_folder(prepare: Callable[[Path], Enter]) -> Callable[[], contextlib.AbstractContextManager[Enter]]:
    """A door whose inputs become files in a folder of their own."""

    @contextlib.contextmanager
    def opened() -> Iterator[Enter]:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            yield prepare(Path(folder))

    return opened


def _site(rng: random.Random) -> bytes:
    lines = rng.choice(SITES).encode().split(b"\n")
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        at = rng.randrange(len(lines))
        name, equals, _ = lines[at].partition(b"=")
        value = rng.choice(_TOML_EXTREMES)
        lines[at] = (
            name + equals + b" " + value if equals else rng.choice([value, b"", b"[[sources]]", b"[central]", b"=1"])
        )
    content = b"\n".join(lines)
    return content if rng.random() < 0.7 else damaged(rng, content, _TOML_EXTREMES)


def _load_site(folder: Path) -> Enter:
    def load(content: bytes) -> None:
        site = folder / "edge.toml"
        site.write_bytes(content)
        read_document(site)
        load_settings(site)

    return load


def _variables(rng: random.Random) -> bytes:
    """NAME=VALUE, a line each."""
    lines = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        extreme = rng.choice(EXTREMES)
        text = encoded(extreme) if rng.random() < 0.5 or not isinstance(extreme, str) else extreme
        value = rng.choice([text.encode("utf-8", "surrogatepass"), damaged(rng, rng.choice(TEXTS).encode())])
        lines.append(rng.choice(VARIABLES).encode() + b"=" + value.replace(b"\n", b" ").replace(b"\0", b" ")[:100_000])
    return b"\n".join(lines)


def _load_with_variables(folder: Path) -> Enter:
    site = folder / "edge.toml"
    site.write_text(SITES[0])

    def load(content: bytes) -> None:
        before = dict(os.environb)
        try:
            for line in content.split(b"\n"):
                name, _, value = line.partition(b"=")
                os.environb[name] = value
            find_settings_file(None)
            load_settings(site)
        finally:
            os.environb.clear()
            os.environb.update(before)

    return load


def _archive(rng: random.Random) -> bytes:
    """One byte for the kind, then the archive."""
    kind, made = rng.choice(["tar", "tar.gz", "zip"]), io.BytesIO()
    names = [
        rng.choice(_NAMES + [f"b/1.0.0/{name}" for name in BUNDLE_FILES]) for _ in range(rng.choice([0, 1, 4, 20]))
    ]
    contents = [rng.choice([b"", b"x" * 100, b"\0" * 300_000]) for _ in names]
    if kind == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in dict(zip(names, contents, strict=True)).items():
                file.writestr(name, content)
    else:
        with tarfile.open(fileobj=made, mode="w:gz" if kind == "tar.gz" else "w") as tar:
            for name, content in zip(names, contents, strict=True):
                entry = tarfile.TarInfo(name)
                entry.size, entry.type = len(content), rng.choice(_TYPES)
                entry.linkname = rng.choice(_NAMES)
                tar.addfile(entry, io.BytesIO(content))
    whole = made.getvalue()
    return kind.encode() + b"\n" + (whole if rng.random() < 0.3 else damaged(rng, whole))


_NAMES = [
    "../x",
    "/etc/passwd",
    "manifest.json",
    "a/b/c/d/e/model.onnx",
    "b/1.0.0/\x1b[2J",
    "b\\1.0.0\\model.onnx",
    "b/",
]
_TYPES = [tarfile.REGTYPE] * 6 + [
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.DIRTYPE,
    b"9",
]


def _unpack(folder: Path) -> Enter:
    def enter(content: bytes) -> None:
        kind, _, whole = content.partition(b"\n")
        archive, into = folder / f"b.{kind.decode()}", folder / "into"
        archive.write_bytes(whole)
        into.mkdir()
        try:
            unpack(archive, into)
        finally:
            strays = {path.name for path in folder.rglob("*") if path.is_file()} - BUNDLE_FILES - {archive.name}
            shutil.rmtree(into)
            archive.unlink()
            assert not strays, f"files that belong to no bundle: {strays}"

    return enter


def _manifest(rng: random.Random) -> bytes:
    return document(rng, MANIFESTS)


def _signature(rng: random.Random) -> bytes:
    return damaged(rng, rng.choice([(path / "manifest.sig").read_bytes() for path in BUNDLES[:3]]))


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


_ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_KEYS = (
    _public(_ED25519),
    _ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    _ED25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
    generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
)
_REVOKED = (b"", b"0123456789abcdef # stolen\n", b"# nobody\n\n", b"\xef\xbb\xbf0123456789ABCDEF\r\n")


def _keys(rng: random.Random) -> bytes:
    key, revoked = rng.choice(_KEYS[:1] * 3 + _KEYS), rng.choice(_REVOKED)
    return b"\0--\0".join([damaged(rng, key) if rng.random() < 0.7 else key, damaged(rng, revoked)])


def _read_keys(folder: Path) -> Enter:
    def read(content: bytes) -> None:
        key, _, revoked = content.partition(b"\0--\0")
        (folder / "a.pub").write_bytes(key)
        (folder / "revoked.txt").write_bytes(revoked)
        read_key_ring(folder)

    return read


def _bundle(rng: random.Random) -> bytes:
    """Which file of a whole bundle, and what it holds instead."""
    name = rng.choice(sorted(BUNDLE_FILES))
    return name.encode() + b"\n" + damaged(rng, (BUNDLES[0] / name).read_bytes()[:20_000])


def _read_bundle(folder: Path) -> Enter:
    bundle = folder / "b" / "1.0.0"
    shutil.copytree(BUNDLES[0], bundle)

    def read(content: bytes) -> None:
        name, _, instead = content.partition(b"\n")
        file = bundle / name.decode()
        before = file.read_bytes()
        file.write_bytes(instead)
        try:
            read_bundle(bundle, keys_dir=REPOSITORY / "models_onnx" / "keys")
        finally:
            file.write_bytes(before)

    return read


_SMALLEST = min(BUNDLES, key=lambda path: (path / MODEL_FILE).stat().st_size)


def _model(rng: random.Random) -> bytes:
    return damaged(rng, (_SMALLEST / MODEL_FILE).read_bytes())


def _prove(folder: Path) -> Enter:
    """A bundle whose manifest is right about its damaged graph: nothing but the runtime stands before it."""
    bundle = folder / "b" / "1.0.0"
    shutil.copytree(_SMALLEST, bundle)
    manifest = json.loads((bundle / MANIFEST_FILE).read_text())

    def prove(content: bytes) -> None:
        (bundle / MODEL_FILE).write_bytes(content)
        files = manifest["files"] | {MODEL_FILE: hashlib.sha256(content).hexdigest()}
        (bundle / MANIFEST_FILE).write_text(json.dumps(manifest | {"files": files}))
        prove_elsewhere(bundle, BundleStore(REPOSITORY / "models_onnx", require_signature=False))

    return prove


DOORS = (
    Door("toml", _site, in_folder(_load_site), (ConfigurationError,)),
    Door("environment", _variables, in_folder(_load_with_variables), (ConfigurationError,)),
    Door("archive", _archive, in_folder(_unpack), (BundleError,)),
    Door("bundle", _bundle, in_folder(_read_bundle), (BundleError,)),
    Door("manifest", _manifest, simple(lambda content: _parse(content, Path("b"))), (BundleError,)),
    Door("signature", _signature, simple(parse_signature), (BundleError,)),
    Door("model-file", _model, in_folder(_prove), (BundleError,), in_tests=5),
    Door("keys", _keys, in_folder(_read_keys), (BundleError,)),
)
