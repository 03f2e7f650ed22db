"""How processes are set up, started, watched and stopped: settings, logs, PostgreSQL, supervisor."""
