"""`edgebs` with a fake GPU, for --together: python fake_gpu_command.py FOLDER ARGUMENTS."""

import sys
from pathlib import Path

from edgebs import interrupts

interrupts.install()
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]


def main() -> None:
    import pytest
    from device_scenarios import World

    from edgebs.cli import main as edgebs

    World(Path(sys.argv.pop(1)), pytest.MonkeyPatch())
    edgebs()


if __name__ == "__main__":
    main()
