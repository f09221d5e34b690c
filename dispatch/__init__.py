"""The service: calls in, decisions in the core, orders out, everything kept. Not the map nor the consoles."""

__version__ = "0.1.0"
