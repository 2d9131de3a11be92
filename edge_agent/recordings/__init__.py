"""Recordings as files: which they are, and what is in them. Knows formats; does not know what plays or scores them."""

from edge_agent.recordings.finding import ENDINGS, find_recordings
from edge_agent.recordings.formats import stop_parsing
from edge_agent.recordings.loading import load_recording, load_table
from edge_agent.recordings.overrides import DECIMAL_SIGNS, Overrides
from edge_agent.recordings.recording import Recording
from edge_agent.recordings.table import Table

__all__ = [
    "DECIMAL_SIGNS",
    "ENDINGS",
    "Overrides",
    "Recording",
    "Table",
    "find_recordings",
    "load_recording",
    "load_table",
    "stop_parsing",
]
