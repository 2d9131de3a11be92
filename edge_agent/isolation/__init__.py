"""Foreign bytes parsed in a process of their own. Knows processes and limits; does not know what is parsed."""

from edge_agent.isolation.process import ParserProcess, ProcessLimits

__all__ = ["ParserProcess", "ProcessLimits"]
