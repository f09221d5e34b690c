"""The service: calls in, decisions in the core, units out, everything kept. Not the map, the consoles or the simulators."""

__version__ = "0.1.0"
