"""`python -m soloist` and the `soloist` command."""


def main() -> None:
    """Run the command line."""
    from soloist.cli import run  # noqa: PLC0415 - nothing is imported before it is known to be wanted

    run()


if __name__ == "__main__":
    main()
