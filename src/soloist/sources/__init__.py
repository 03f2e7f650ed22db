"""Frames in: the ways to obtain one participant's encoded frames."""
