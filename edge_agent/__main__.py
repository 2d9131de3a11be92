"""`python -m edge_agent`."""

from edge_agent.start import run

run()
