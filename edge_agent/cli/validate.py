"""`edge-agent validate`: a configuration checked without opening a source or the network.

Of the files it names only these are read: CA files, and the client certificate and its key, because a renewed pair
that does not fit, or is not valid today, is found before the agent needs it; and where there are indicators the tables
they are looked up in, and the champions of the same sources, because two writers of one row are refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_sync.errors import SyncError
from edge_agent.errors import BundleError, ConfigurationError, DriverError
from edge_agent.settings import CentralSettings, ModelSettings, Settings, UnusableSource
from edge_agent.settings.load import load_settings
from edge_agent.settings.source_kinds import source_kinds
from edge_agent.settings.toml_file import find_settings_file
from edge_agent.status.words import counted


def validate_file(file: Path | None, *, as_json: bool) -> int:
    """Return 0 when the file is right, 3 when it is not. With `as_json` the mistakes are a list on standard output."""
    path = find_settings_file(file)
    try:
        settings = load_settings(path)
        _check_files(settings)
        _check_indicators(settings)
        warnings = _unusable(settings.central) + _unusable_drivers(settings)
        warnings += [warning for source in settings.sources for warning in source.warnings]
    except ConfigurationError as exc:
        if not as_json:
            raise
        print(json.dumps(_document(path, errors=exc.message.splitlines())))
        return 3
    if as_json:
        shared = _shared_connections(settings)
        print(json.dumps(_document(path, warnings=["; ".join(each) for each in warnings], shared=shared)))
    else:
        parts = ", ".join(
            counted(*of)
            for of in (
                (len(settings.sources), "source"),
                (len(settings.tag_names), "tag"),
                (len(settings.tag_models), "tag model"),
            )
        )
        print(f"{path}: valid; gateway {settings.gateway.id}, {parts}")
        for one in _shared_connections(settings):
            print(f"  {', '.join(one['sources'])} share the connection to {one['place']}: one request at a time")
        for what, do in warnings:
            print(f"edge-agent: warning: {what}\n  {do}", file=sys.stderr)
    return 0


def _document(
    path: Path, *, errors: Sequence[str] = (), warnings: Sequence[str] = (), shared: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return what `--json` prints: a contract (docs/CLI_OUTPUT.md)."""
    return {
        "file": str(path),
        "is_valid": not errors,
        "errors": [*errors],
        "warnings": [*warnings],
        "shared_connections": [*shared],
    }


def _shared_connections(settings: Settings) -> list[dict[str, Any]]:
    """Return the connections that more than one source is read over, each by its place and sources."""
    shared = settings.shared_lines.items()
    return [{"place": place, "sources": [source.name for source in sources]} for place, sources in shared]


def _unusable(central: CentralSettings) -> list[tuple[str, str]]:
    """Return what delivery could not use, were the agent started here now, and what to do; it would still record."""
    # Imported here: it loads the libraries of the connection.
    from edge_agent.delivery.authorities import missing_roots, unusable_authorities
    from edge_agent.status.proxy import unusable_variable

    found = [each for each in (unusable_variable(central), missing_roots(central)) if each is not None]
    return found + unusable_authorities(central) + _unusable_transport(central)


def _unusable_transport(central: CentralSettings) -> list[tuple[str, str]]:
    """Return why the transport of another package could not be used here. Raises ConfigurationError for its options."""
    if central.transport is None:
        return []
    from edge_agent.delivery.installed_transports import checked_options, load_kind

    try:
        checked_options(central.transport, load_kind(central.transport), central.options)
    except SyncError as exc:
        return [(exc.message, exc.hint or "")]
    return []


def _unusable_drivers(settings: Settings) -> list[tuple[str, str]]:
    """Return which drivers of other packages could not be used, were the agent started here now; the others would run.

    Our own are not asked: their libraries would be loaded, and tests have asked them.
    """
    kinds = source_kinds()
    errors = list(kinds.unusable.values())
    for source in settings.sources:
        if source.type in kinds.external and isinstance(source, UnusableSource):
            errors.append(DriverError(f"{source.name}: {source.reason}", hint=source.hint))
        elif source.type in kinds.external:
            # Imported here: only who has such a source needs it.
            from edge_agent.drivers.registry import driver_class

            try:
                driver_class(source)
            except DriverError as exc:
                errors.append(exc)
    return [(error.message, error.hint or "update or remove its package") for error in errors]


def _check_files(settings: Settings) -> None:
    if settings.central.client_certificate_file is not None:
        # Imported here: it loads the libraries of the connection.
        from edge_agent.delivery.client_certificate import check_client_certificate

        check_client_certificate(settings.central)


def _check_indicators(settings: Settings) -> None:
    with_indicators = [source for source in settings.waveform_sources if source.indicators]
    if with_indicators:
        # Imported here: it loads the arithmetic.
        from edge_agent.pipeline.condition.plan import check_rows, indicators_of

        for source in with_indicators:
            check_rows(source, indicators_of(source, settings.tables), _features_of(source.model, settings.models))


def _features_of(model: str | None, settings: ModelSettings) -> tuple[str, ...]:
    """Names of a champion's features; none when there is no bundle that can be read, which the start then says."""
    from edge_agent.bundles.champion_file import read_pointer
    from edge_agent.bundles.store import bundle_store

    if model is None:
        return ()
    folder = settings.dir / model
    try:
        version = read_pointer(folder).version
        bundle = bundle_store(settings).read(folder / version)
    except BundleError:
        return ()
    return tuple(feature.name for feature in bundle.spec.features)


def print_schema() -> None:
    """Print the JSON schema of the file, with the options of the transports that are installed here."""
    schema = Settings.model_json_schema()
    # Imported here: it loads the libraries of the connection.
    from edge_agent.delivery.installed_transports import add_options, installed_names

    for name in installed_names():
        try:
            add_options(schema, name)
        except SyncError as exc:
            print(f"edge-agent: warning: {exc.message}\n  {exc.hint}", file=sys.stderr)
    print(json.dumps(schema, indent=2))
