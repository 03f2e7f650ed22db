"""Frames out: one file per kind of output, written through PyAV."""
