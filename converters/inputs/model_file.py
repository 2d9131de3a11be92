"""Opens a trained model's file. A pickle is a program: it runs only when a person has said that its source is trusted.

Constraints
- The format is told by content, not by name: skops, LightGBM's text and Prophet's JSON hold data, pickle and joblib
  hold code.
- A skops file may name only the types listed here and skops' own; another type is refused by name.
- Every failure is a ModelFileError that says what the file is and what to do.
- A file is opened in a process of its own first: libraries in C end the process over a damaged one (LightGBM over 98 of
  221 changed text files).
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from converters.errors import ModelFileError
from edge_agent.errors import EdgeError, ParserDiedError
from edge_agent.isolation import ParserProcess, ProcessLimits

MAX_BYTES: Final = 1_000_000_000

TRUSTED_TYPES: Final = frozenset(
    {
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""Besides those skops trusts itself: data of the kinds converted here."""

_SAVE_AGAIN: Final = "save the model again and copy it whole"
_PICKLED: Final = (
    b"\x80",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00",
)
_BROKEN: Final[tuple[type[Exception], ...]] = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged file ends in, depending on where the damage is."""

_JSON_BEGIN: Final = (b"{", b'"{')
"""MLflow puts Prophet's JSON into a JSON string."""

_TEXT_BEGIN: Final = b"tree\n"
_TEXT_PARTS: Final = (
    b"\nnum_class=",
    b"\nmax_feature_idx=",
    b"\nfeature_names=",
    b"\nend of trees\n",
    b"\nend of parameters\n",
)
_TEXT_SIZES: Final = re.compile(rb"^tree_sizes=([0-9 ]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a model besides its file and card. `facts` join the hyperparameters, under names of their own;
    of a metric the card has too, the card's counts."""

    facts: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """`warnings` are what the libraries said about it, such as having been saved by another version."""

    model: Any
    format: str
    sha256: str
    warnings: tuple[str, ...]


def read_model(path: Path, *, trust_pickle: bool = False) -> LoadedModel:
    """Return the model in a skops, LightGBM text, Prophet JSON, pickle or joblib file.

    Raises
    ------
    ModelFileError
        Missing, too large, cut short, of another format, holding types that are not trusted, or a pickle without
        `trust_pickle`: nothing in it has run then.
    """
    content = _content(path)
    _open_elsewhere(content, path, trust_pickle=trust_pickle)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, form = _load(content, path, trust_pickle=trust_pickle)
    notes = tuple(dict.fromkeys(str(warning.message).splitlines()[0] for warning in caught))
    return LoadedModel(model, form, hashlib.sha256(content).hexdigest(), notes)


_PARSER: Final = ParserProcess()
_TRIED_ROWS: Final = 64


def _open_elsewhere(content: bytes, path: Path, *, trust_pickle: bool) -> None:
    """Raise ModelFileError for a file that ends the process that opens it. What else is refused is refused later."""
    limits = ProcessLimits(memory_bytes=8 * 2**30 + 16 * len(content), cpu_s=300, wall_s=600.0)
    try:
        _PARSER.call(try_to_open, content, str(path), trust_pickle, limits=limits)
    except ParserDiedError as exc:
        raise ModelFileError(f"{path} cannot be read: {exc.message}; the file is damaged", hint=_SAVE_AGAIN) from exc
    except EdgeError:
        return  # reported in full by the one who opens it now


def try_to_open(content: bytes, path: str, trust_pickle: bool) -> None:
    """Open a model and walk through all of it. Runs in the parser's process."""
    model, _ = _load(content, Path(path), trust_pickle=trust_pickle)
    booster = getattr(model, "booster_", None) or model
    if hasattr(booster, "dump_model"):
        import numpy as np

        booster.dump_model()
        rows = np.random.default_rng(0).standard_normal((_TRIED_ROWS, booster.num_feature()))
        booster.predict(np.concatenate([rows, 1e6 * rows, 0 * rows]), num_threads=1)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelFileError(f"{path} is larger than {MAX_BYTES} bytes", hint="is it a model?")
        return path.read_bytes()
    except OSError as exc:
        raise ModelFileError(f"{path} cannot be read: {exc.strerror}", hint="check the path and its owner") from exc


def _load(content: bytes, path: Path, *, trust_pickle: bool) -> tuple[Any, str]:
    if content.startswith(_TEXT_BEGIN):
        return _lightgbm_text(content, path), "LightGBM text"
    if content.startswith(b"PK"):
        return _skops(content, path), "skops"
    if content.startswith(_JSON_BEGIN):
        return _prophet(content, path), "Prophet JSON"
    if content.startswith(_PICKLED):
        if not trust_pickle:
            raise ModelFileError(
                f"{path} is a pickle: opening it runs whatever program is in it, with your rights",
                hint="if you know who made it, add --trust-pickle; better save it with skops.io.dump: no code in it",
            )
        return _pickled(content, path), "pickle"
    raise ModelFileError(
        f"{path} is no model file known here: {_guess(content)}",
        hint="save the fitted model with skops.io.dump, joblib.dump, Booster.save_model of LightGBM, or "
        "prophet.serialize.model_to_json",
    )


def _guess(content: bytes) -> str:
    if not content:
        return "it is empty"
    if content.startswith(b"\x08") and b"onnx" in content[:1_000].lower():
        return "it looks like an ONNX graph, and this command converts from the model as trained"
    return f"it begins with {content[:8]!r}"


def _lightgbm_text(content: bytes, path: Path) -> Any:
    import lightgbm

    _check_whole(content, path)
    try:
        return lightgbm.Booster(model_str=content.decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as exc:
        raise ModelFileError(f"{path} is not a LightGBM model: {exc}", hint=_SAVE_AGAIN) from exc


def _check_whole(content: bytes, path: Path) -> None:
    """Looked at before LightGBM does: it ends the whole process over a file without its last part."""
    missing = [part.strip().decode() for part in _TEXT_PARTS if part not in content]
    if not missing and not content.endswith(b"\n"):
        missing = ["pandas_categorical"]
    sizes = _TEXT_SIZES.search(content)
    if missing or sizes is None or len(sizes[1].split()) != content.count(b"\nTree="):
        what = f"without {missing[0]!r}" if missing else "with other trees than it announces"
        raise ModelFileError(f"{path} is a LightGBM model {what}: it was cut short or changed", hint=_SAVE_AGAIN)


def _skops(content: bytes, path: Path) -> Any:
    import skops.io

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=content)) - TRUSTED_TYPES)
        if unknown:
            raise ModelFileError(
                f"{path} holds {', '.join(unknown)}, which is not among the types converted here",
                hint="save only scalers and one model; see docs/CONVERTING.md for the kinds",
            )
        return skops.io.loads(content, trusted=sorted(TRUSTED_TYPES))
    except _BROKEN as exc:
        raise ModelFileError(f"{path} is not a whole skops file: {_reason(exc)}", hint=_SAVE_AGAIN) from exc


def _prophet(content: bytes, path: Path) -> Any:
    from converters.graphs.prophet_terms import load_prophet

    try:
        table = json.loads(content)
        return load_prophet(table if isinstance(table, str) else content.decode())
    except ModelFileError as exc:
        raise ModelFileError(f"{path}: {exc.message}", hint=exc.hint) from exc
    except _BROKEN as exc:
        raise ModelFileError(f"{path} is not a whole Prophet model: {_reason(exc)}", hint=_SAVE_AGAIN) from exc


def _pickled(content: bytes, path: Path) -> Any:
    import joblib

    try:
        return joblib.load(io.BytesIO(content))
    except ImportError as exc:
        raise ModelFileError(
            f"{path} needs {exc.name or exc}, which is not installed here",
            hint="install it, or save scalers and model without the project's own classes",
        ) from exc
    except _BROKEN as exc:
        raise ModelFileError(f"{path} cannot be unpickled: {_reason(exc)}", hint=_SAVE_AGAIN) from exc


def _reason(exc: Exception) -> str:
    return str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
