"""`python -m edgebs.cli`."""

from edgebs.cli import main

if __name__ == "__main__":
    main()
