"""Which kinds of sources there are, and what is known of each."""

from __future__ import annotations

from pydantic import BaseModel

from edge_agent.settings import TagSourceSettings, WaveformSettings
from edge_agent.settings.source_kinds import path_fields, source_kinds, tables_below


def test_ours_are_in_the_order_in_which_a_mistaken_type_is_told() -> None:
    assert list(source_kinds().classes) == [
        "microphone",
        "accelerometer",
        "iio",
        "replay",
        "synthetic",
        "modbus",
        "opcua",
        "mqtt",
    ]
    assert not source_kinds().external
    assert not source_kinds().unusable


def test_every_kind_is_of_waveforms_or_of_tags() -> None:
    for kind in source_kinds().classes.values():
        assert issubclass(kind, WaveformSettings) != issubclass(kind, TagSourceSettings)


def test_every_driver_is_in_the_folder_of_its_settings() -> None:
    for kind in source_kinds().classes.values():
        assert kind.driver.split(":")[0].rpartition(".")[0] == kind.__module__.rpartition(".")[0]


def test_what_is_a_path_is_known_by_its_annotation() -> None:
    classes = source_kinds().classes
    assert path_fields(classes["replay"]) == ("path",)
    assert {"ca_file", "certificate_file", "private_key_file", "password_file"} <= set(path_fields(classes["opcua"]))
    assert path_fields(classes["modbus"]) == ("ca_file", "client_certificate_file", "client_key_file", "register_map")


def test_the_tables_inside_a_table_are_found_by_their_path() -> None:
    def paths(model: type[BaseModel]) -> list[str]:
        return [path for path, _ in tables_below(model)]

    assert paths(source_kinds().classes["modbus"]) == ["poll_groups", "poll_groups.tags"]
    assert paths(source_kinds().classes["synthetic"]) == ["channels", "alarm", "indicators"]
