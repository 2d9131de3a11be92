"""The configuration: its shape, the file it is read from, and the secrets that are not in that file."""

from edge_agent.settings.central import CentralSettings
from edge_agent.settings.central_mqtt import CentralMqttSettings
from edge_agent.settings.gateway import (
    GatewaySettings,
    ModelSettings,
    OutboxSettings,
    ReportSettings,
    Settings,
    TableSettings,
    TagModelSettings,
)
from edge_agent.settings.links import LinkSettings
from edge_agent.settings.metered import BudgetSettings, MeteredSettings, QuietHoursSettings
from edge_agent.settings.operating import OperatingStateSettings
from edge_agent.settings.proxy import CentralProxySettings
from edge_agent.settings.sources import (
    AlarmSettings,
    ChannelSettings,
    IndicatorSettings,
    ModelName,
    Name,
    SourceSettings,
    Strict,
    TagName,
    TagSettings,
    TagSourceSettings,
    UnusableSource,
    WaveformSettings,
)

__all__ = [
    "AlarmSettings",
    "BudgetSettings",
    "CentralMqttSettings",
    "CentralProxySettings",
    "CentralSettings",
    "ChannelSettings",
    "GatewaySettings",
    "IndicatorSettings",
    "LinkSettings",
    "MeteredSettings",
    "ModelName",
    "ModelSettings",
    "Name",
    "OperatingStateSettings",
    "OutboxSettings",
    "QuietHoursSettings",
    "ReportSettings",
    "Settings",
    "SourceSettings",
    "Strict",
    "TableSettings",
    "TagModelSettings",
    "TagName",
    "TagSettings",
    "TagSourceSettings",
    "UnusableSource",
    "WaveformSettings",
]
