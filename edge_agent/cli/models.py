"""`edge-agent models`: what is here, whether it may be used, who counts. Needs no running agent and disturbs none.

A running agent notices a moved pointer within seconds. Everything is verified and proven before it is moved.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edge_agent.bundles.champion_file import Note, Pointer, pointer_or_none
from edge_agent.bundles.manifest import version_key
from edge_agent.bundles.silence import alarm_problem
from edge_agent.bundles.store import (
    BundleListing,
    Champion,
    bundle_folder,
    bundle_store,
    champion_version,
    list_bundles,
)
from edge_agent.core.clock import instant
from edge_agent.errors import BundleError
from edge_agent.rollout.challenger_file import Challenger, ChallengerState, forget_challenger, read_challenger
from edge_agent.rollout.offline_check import check_offline
from edge_agent.settings import ModelSettings, Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.toml_file import find_settings_file

REFUSED: Final = 1


def show_list(config: Path | None, *, as_json: bool) -> int:
    """Return 0, or 1 when a champion is missing or does not verify."""
    settings = _settings(config)
    documents = [_listed(listing, settings) for listing in list_bundles(settings.dir)]
    if as_json:
        print(json.dumps({"dir": str(settings.dir), "models": documents}))
    else:
        print("\n".join(line for document in documents for line in _as_text(document)) or f"{settings.dir}: no bundle")
    is_whole = all(any(v["is_champion"] and v["is_verified"] for v in d["versions"]) for d in documents)
    return 0 if is_whole else REFUSED


def verify(config: Path | None, name: str | None, version: str | None, *, as_json: bool) -> int:
    """Check signature, digests and the golden run; return 1 when one of the bundles may not be used."""
    settings = _settings(config)
    if name is None and not list_bundles(settings.dir):
        raise _no_bundle(settings.dir)
    failed = 0
    for each_name, each_version in _chosen(settings.dir, name, version):
        document = _verified(settings, each_name, each_version)
        failed += not document["is_proven"] or document["cannot_alarm"] is not None
        print(json.dumps(document) if as_json else _verdict(document), flush=True)
    return REFUSED if failed else 0


def promote_version(
    config: Path | None, name: str, version: str, *, why: str, as_json: bool, despite_refusal: bool = False
) -> None:
    """Promote a version. Raises BundleError, with the champion kept, for one that is older or may not be used.

    One that was refused in its shadow run, cannot alarm or is silent where the champion alarms needs
    `despite_refusal`, and then `why`.
    """
    site = load_settings(find_settings_file(config))
    settings = site.models
    before = pointer_or_none(bundle_folder(settings.dir, name))
    if before is not None and version_key_of(version) < version_key(before.version):
        raise BundleError(
            f"{name} {version} is older than the champion {before.version}",
            hint=f"to go back: edge-agent models rollback {name} {version}",
        )
    known = read_challenger(bundle_folder(settings.dir, name))
    tried = known if known is not None and known.version == version else None
    against = _objection_to(site, name, version, before, tried)
    if against is not None:
        _check_overruled(f"{name} {version}", against, why, despite_refusal=despite_refusal)
    champion = bundle_store(settings).promote(
        name, version, note=replace(_note(why or "promoted by hand"), despite=against), on_probation=True
    )
    if tried is not None:
        forget_challenger(bundle_folder(settings.dir, name))
    _print_moved(settings, champion, before, as_json)


def rollback(config: Path | None, name: str, version: str | None, *, why: str, as_json: bool) -> None:
    """Go back to the champion before. Raises BundleError when there is none, or it may not be used."""
    settings = _settings(config)
    before = pointer_or_none(bundle_folder(settings.dir, name))
    if before is not None and version is not None and version_key_of(before.version) < version_key_of(version):
        raise BundleError(
            f"{name} {version} is newer than the champion {before.version}",
            hint=f"to go forward: edge-agent models promote {name} {version}",
        )
    champion = bundle_store(settings).roll_back(name, version=version, note=_note(why or "rolled back by hand"))
    _print_moved(settings, champion, before, as_json)


def _objection_to(
    site: Settings, name: str, version: str, before: Pointer | None, tried: Challenger | None
) -> str | None:
    """Why it should not be champion, or None. Raises BundleError when the version cannot be used at all."""
    if before is not None and before.version == version:
        return None  # it is already
    if tried is not None and tried.state is ChallengerState.REFUSED:
        return f"its shadow run refused it: {tried.reason}"
    store = bundle_store(site.models)
    candidate = store.load(name, version)
    champion = None
    if before is not None:
        with contextlib.suppress(BundleError):  # a damaged champion is a reason to promote, not one against it
            champion = store.load(name, before.version)
    missed, state_dir = site.models.shadow_missed_fraction, site.gateway.state_dir
    return check_offline(candidate, champion, missed_fraction=missed, state_dir=state_dir).problem


def _check_overruled(label: str, against: str, why: str, *, despite_refusal: bool) -> None:
    if not despite_refusal:
        raise BundleError(
            f"{label} is not promoted: {against}",
            hint="the champion stays; if it is meant all the same, add --despite-refusal and --why with your reason",
        )
    if not why:
        raise BundleError(
            f"{label}: --despite-refusal needs --why", hint="the reason stays in the record of this model"
        )


def version_key_of(version: str) -> tuple[int, ...]:
    """Return `version_key`; what is no version sorts last, so that the lookup by name refuses it."""
    try:
        return version_key(version)
    except ValueError:
        return (1 << 63,)


def _settings(config: Path | None) -> ModelSettings:
    return load_settings(find_settings_file(config)).models


def _no_bundle(models_dir: Path) -> BundleError:
    what = f"{models_dir}: no bundle" if models_dir.is_dir() else f"there is no folder {models_dir}"
    return BundleError(what, hint="models.dir in the site's file says where the bundles are")


def _chosen(models_dir: Path, name: str | None, version: str | None) -> Iterator[tuple[str, str]]:
    if name is None:
        for listing in list_bundles(models_dir):
            yield from ((listing.name, each) for each in listing.versions)
    elif version is None:
        yield name, champion_version(models_dir, name)
    else:
        yield name, version


def _listed(listing: BundleListing, settings: ModelSettings) -> dict[str, Any]:
    folder = settings.dir / listing.name
    pointer, challenger = listing.pointer, read_challenger(folder)
    return {
        "name": listing.name,
        "champion": listing.champion,
        "since": pointer.since if pointer else None,
        "by": pointer.by if pointer else None,
        "why": pointer.why if pointer else None,
        "despite": pointer.despite if pointer else None,
        "previous": pointer.previous(listing.versions) if pointer else None,
        "is_on_probation": pointer is not None and pointer.probation_starts is not None,
        "shadow": challenger.version if challenger and challenger.state is ChallengerState.SHADOW else None,
        "history": [step.model_dump() for step in pointer.history] if pointer else [],
        "versions": [_version(listing, version, settings, challenger) for version in listing.versions],
    }


def _bytes_in(folder: Path) -> int:
    """What its files take; 0 for a folder that is closed to us, as the refusal beside it says."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    except OSError:
        return 0


def _version(
    listing: BundleListing, version: str, settings: ModelSettings, challenger: Challenger | None
) -> dict[str, Any]:
    path = settings.dir / listing.name / version
    key_id, refusal = None, None
    try:
        bundle = bundle_store(settings).read(path)
        key_id = bundle.key_id
    except BundleError as exc:
        refusal = exc.message
    tried = challenger if challenger is not None and challenger.version == version else None
    return {
        "version": version,
        "is_champion": version == listing.champion,
        "is_verified": refusal is None,
        "refusal": refusal,
        "key_id": key_id,
        "size_bytes": _bytes_in(path),
        "trial": tried.state.value if tried else None,
        "trial_since": tried.since if tried else None,
        "trial_reason": tried.reason or None if tried else None,
    }


def _verified(settings: ModelSettings, name: str, version: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": name, "version": version, "is_proven": False, "refusal": None, "do": None, "key_id": None,
        "golden_windows": None, "worst_feature": None, "worst_feature_share": None, "max_score_difference": None,
        "score_tolerance": None, "cannot_alarm": None,
    }  # fmt: skip
    try:
        champion = bundle_store(settings).load(name, version)
    except BundleError as exc:
        return document | {"refusal": exc.message, "do": exc.hint}
    golden = champion.golden
    return document | {
        "is_proven": True,
        "key_id": champion.bundle.key_id,
        "golden_windows": golden.windows,
        "worst_feature": golden.worst_feature,
        "worst_feature_share": golden.worst_feature_share,
        "max_score_difference": golden.max_score_difference,
        "score_tolerance": champion.bundle.manifest.tolerances.score_atol,
        "cannot_alarm": alarm_problem(champion),
    }


def _print_moved(settings: ModelSettings, champion: Champion, before: Pointer | None, as_json: bool) -> None:
    name, version = champion.bundle.manifest.name, champion.bundle.manifest.version
    pointer = pointer_or_none(settings.dir / name)
    document = {
        "name": name,
        "version": version,
        "previous": before.version if before else None,
        "is_changed": before is None or before.version != version,
        "is_on_probation": pointer is not None and pointer.probation_starts is not None,
        "golden_windows": champion.golden.windows,
        "max_score_difference": champion.golden.max_score_difference,
    }
    if as_json:
        print(json.dumps(document))
    elif not document["is_changed"]:
        print(f"{name} {version} is the champion already")
    else:
        print(f"{name}: {version} is the champion now, before it was {document['previous'] or 'none'}")
        print(f"  proven here on {champion.golden.windows} golden windows; a running agent follows within seconds")


def _verdict(document: dict[str, Any]) -> str:
    label = f"{document['name']} {document['version']}"
    if not document["is_proven"]:
        return f"{label}: REFUSED: {document['refusal']}" + (f"\n  -> {document['do']}" if document["do"] else "")
    signer = f"signed by key {document['key_id']}" if document["key_id"] else "signature not asked for"
    return (
        f"{label}: proven: {signer}; {document['golden_windows']} golden windows, worst feature "
        f"{document['worst_feature']} at {document['worst_feature_share']:.1%} of its tolerance, scores off by "
        f"{document['max_score_difference']:.2g} (tolerance {document['score_tolerance']:.2g})"
        + (f"\n  -> but {document['cannot_alarm']}" if document["cannot_alarm"] else "")
    )


def _as_text(document: dict[str, Any]) -> list[str]:
    since = f" since {document['since']} by {document['by']}: {document['why']}" if document["since"] else ""
    lines = [f"{document['name']}  champion {document['champion'] or 'none'}{since}"]
    if document["despite"]:
        lines.append(f"  promoted although {document['despite']}")
    if document["is_on_probation"]:
        lines.append(f"  on probation; a failure goes back to {document['previous']}")
    for version in document["versions"]:
        words = ["champion"] if version["is_champion"] else []
        words += [version["trial"] if version["trial"] != "ready" else "ready to promote"] if version["trial"] else []
        state = "verified" if version["is_verified"] else f"REFUSED: {version['refusal']}"
        lines.append(f"  {version['version']:10} {', '.join(words):18} {version['size_bytes'] / 1e6:6.2f} MB  {state}")
        if version["trial_reason"]:
            lines.append(f"    {version['trial_reason']}")
    return lines


def _note(why: str) -> Note:
    now = instant(time.time_ns() // 1000, "seconds")
    return Note(os.environ.get("SUDO_USER") or getpass.getuser(), why, now)
