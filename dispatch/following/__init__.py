"""Whoever does not write: following committed events by Redis or by the journal, and sending commands on."""
