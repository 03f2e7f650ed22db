"""Notices out: signed HTTP requests to the addresses customers name."""
