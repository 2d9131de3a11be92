"""`edge-agent validate`: a configuration checked without opening a source or the network.

Of the files it names only the client certificate and its key are read: a renewed pair that does not fit, or is not
valid today, is found before the agent needs it.
"""

from __future__ import annotations

import json
from pathlib import Path

from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings_file import load_settings
from edge_agent.site_file import find_settings_file


def validate_file(file: Path | None, *, as_json: bool) -> int:
    """0 when the file is right, 3 when it is not. With `as_json` the mistakes are a list on standard output."""
    path = find_settings_file(file)
    try:
        settings = load_settings(path)
        _check_files(settings)
    except ConfigurationError as exc:
        if not as_json:
            raise
        print(json.dumps({"file": str(path), "is_valid": False, "errors": exc.message.splitlines()}))
        return 3
    tags = sum(len(s.nodes) for s in settings.sources if s.type == "opcua")
    tags += sum(len(g.tags) for s in settings.sources if s.type == "modbus" for g in s.poll_groups)
    if as_json:
        print(json.dumps({"file": str(path), "is_valid": True, "errors": []}))
    else:
        counted = f"{len(settings.sources)} sources, {tags} tags, {len(settings.tag_models)} tag models"
        print(f"{path}: valid; gateway {settings.gateway.id}, {counted}")
    return 0


def _check_files(settings: Settings) -> None:
    if settings.central.client_certificate_file is not None:
        # Imported here: it loads the libraries of the connection.
        from edge_agent.local.client_certificate import check_client_certificate

        check_client_certificate(settings.central)


def print_schema() -> None:
    print(json.dumps(Settings.model_json_schema(), indent=2))
