"""The engine: accepts commands, persists every transition, and runs recordings."""
