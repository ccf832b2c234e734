"""`edgebs` with a fake GPU, for --together: python command.py FOLDER ARGUMENTS."""

import sys
from pathlib import Path

from edgebs.machine import interrupts

interrupts.install()
sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> None:
    import pytest

    from edgebs.cli import main as edgebs
    from fakes.gpu.device_scenarios import World

    World(Path(sys.argv.pop(1)), pytest.MonkeyPatch())
    edgebs()


if __name__ == "__main__":
    main()
