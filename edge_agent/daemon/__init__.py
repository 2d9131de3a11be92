"""The agent as a process: its parts made, connected, watched over and stopped in order."""
