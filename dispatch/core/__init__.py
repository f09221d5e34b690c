"""Decisions only: nothing in this package awaits, reads a clock, draws a random number or opens anything."""
