"""Formats of the field: bytes from phones, trackers and other centres into values, and nothing else.

Every parser here is pure: bytes or text in, a frozen value or one `FormatError` out. No network,
no clock, no waiting; what a message means for a call or a unit is decided elsewhere.
"""
