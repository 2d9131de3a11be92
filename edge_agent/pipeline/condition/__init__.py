"""Condition indicators: features that need no model, with zones of severity and fault lines."""
