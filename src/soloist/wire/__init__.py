"""Formats and protocols: bytes or text to values and back, by the standard, without I/O, clock or async."""
