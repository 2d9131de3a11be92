"""`python -m edge_agent`."""

from edge_agent.cli.main import run

run()
