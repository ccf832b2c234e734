"""`python -m edgebs.cli`."""

from edgebs.cli.entry import main

if __name__ == "__main__":
    main()
