"""What can keep the service from starting, each with its remedy; the command prints the message and nothing else."""


class StartError(Exception):
    """Soloist cannot start; the message says why and what to do."""
