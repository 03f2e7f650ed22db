"""The HTTP edge: requests to commands, views back, and the only place that spells the vendor's names and codes."""
