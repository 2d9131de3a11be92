"""Recordings as files: which they are, and what is in them. Knows formats; does not know what plays or scores them."""

from edge_agent.recordings.finding import find_recordings
from edge_agent.recordings.loading import load_recording
from edge_agent.recordings.recording import Recording

__all__ = ["Recording", "find_recordings", "load_recording"]
