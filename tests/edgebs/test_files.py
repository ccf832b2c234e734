import errno
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.process.programs import program
from fakes.process.waiting import WATCHDOG_S

from edgebs.errors import BundleError
from edgebs.files import Partial, atomic_file, atomic_folder, kept_if_filled


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path):
    with atomic_file(tmp_path / "a.json", BundleError) as temporary:
        temporary.write_text("1")
        assert not (tmp_path / "a.json").exists()
        assert temporary.suffix == ".json"
    assert leftovers(tmp_path) == ["a.json"]


def test_an_exception_leaves_nothing_and_keeps_what_was_there(tmp_path):
    (tmp_path / "a.json").write_text("old")

    def interrupted():
        with atomic_file(tmp_path / "a.json", BundleError) as temporary:
            temporary.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert leftovers(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


@pytest.mark.parametrize("whole", [atomic_file, atomic_folder])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, whole):
    def full():
        with whole(tmp_path / "out", BundleError) as temporary:
            assert tmp_path in temporary.parents
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BundleError, match=r"out cannot be written: No space left on device.*free space"):
        full()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("whole", [atomic_file, atomic_folder])
def test_a_name_that_cannot_even_be_looked_up_is_named(tmp_path, whole, force):
    with (
        pytest.raises(BundleError, match="cannot be written: File name too long"),
        whole(tmp_path / ("a" * 300), BundleError, force=force),
    ):
        pass
    assert leftovers(tmp_path) == []


def test_an_existing_folder_is_refused_without_force_and_replaced_whole_with_it(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").touch()
    with (
        pytest.raises(BundleError, match=r"exists already.*--force"),
        atomic_folder(tmp_path / "b", BundleError),
    ):
        pass
    with atomic_folder(tmp_path / "b", BundleError, force=True) as temporary:
        (temporary / "new").touch()
    assert leftovers(tmp_path) == ["b"]
    assert leftovers(tmp_path / "b") == ["new"]


def test_a_parent_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BundleError, match="cannot be written"),
        atomic_file(tmp_path / "file" / "x", BundleError),
    ):
        pass


WRITER = """
import sys, time
from pathlib import Path
from edgebs.files import Partial
target, kind = sys.argv[1:]
partial = Partial(Path(target), kind)
Path(partial.path, "000000.png").touch() if kind == "folder" else partial.path.touch()
print("writing", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_removed_by_the_next_writer_of_that_target(tmp_path, kind, caplog):
    target = tmp_path / "masks"
    with program(WRITER, target, kind, says="writing"):
        pass
    (stale,) = leftovers(tmp_path)
    partial = Partial(target, kind)
    assert leftovers(tmp_path) == [f"{partial.path.name if kind == 'folder' else partial.path.parent.name}"]
    assert leftovers(tmp_path) != [stale]
    assert "left by a process that was killed" in caplog.text
    partial.discard()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_writes_is_left_alone(tmp_path, kind):
    target = tmp_path / "masks"
    with program(WRITER, target, kind, says="writing"):
        theirs = leftovers(tmp_path)
        Partial(target, kind).discard()
        assert leftovers(tmp_path) == theirs


def test_the_places_of_other_targets_are_left_alone(tmp_path):
    for name in (
        ".other.0123abcd.partial",
        ".masks.1.partial",
        ".masks.0123abcd.partial.png",
        "masks.partial",
    ):
        (tmp_path / name).mkdir()
    before = leftovers(tmp_path)
    Partial(tmp_path / "masks", "folder").discard()
    assert leftovers(tmp_path) == before


def test_a_folder_whose_replacement_was_killed_is_given_back(tmp_path):
    old = tmp_path / ".masks.0123abcd.replaced"
    old.mkdir()
    (old / "old").touch()
    Partial(tmp_path / "masks", "folder").discard()
    assert leftovers(tmp_path) == ["masks"]
    assert leftovers(tmp_path / "masks") == ["old"]


def test_a_folder_is_kept_where_its_replacement_is_interrupted(tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").touch()
    replace = Path.replace

    def interrupted(path, target):
        if path.name.endswith(".partial"):
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        atomic_folder(tmp_path / "b", BundleError, force=True),
    ):
        pass
    assert leftovers(tmp_path) == ["b"]
    assert leftovers(tmp_path / "b") == ["old"]


def test_all_that_is_open_is_removed_before_a_process_ends_at_once(tmp_path):
    ending = subprocess.run(
        [sys.executable, "-c", ENDING, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=WATCHDOG_S,
    )  # fmt: skip
    assert (ending.returncode, ending.stderr) == (5, "")
    assert leftovers(tmp_path) == []


ENDING = """
import os, sys
from pathlib import Path
from edgebs.files import Partial, discard_all, scratch_folder
from edgebs.errors import SinkError
folder = Path(sys.argv[1])
open_file, open_folder = Partial(folder / "a.mkv"), Partial(folder / "b", "folder")
scratch = scratch_folder(folder / "c")
open_file.path.touch()
(open_folder.path / "000000.png").touch()
(scratch.__enter__() / "big").touch()
assert len(list(folder.iterdir())) == 3
discard_all()
os._exit(5)
"""


@pytest.mark.parametrize("force", [True, False])
def test_a_file_never_replaces_a_folder_nor_a_folder_a_file(tmp_path, force):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for whole, name, said in (
        (atomic_file, "folder", "folder is a folder, and a file is to be written there"),
        (atomic_folder, "file", "file is a file, and a folder is to be written there"),
    ):
        with (
            pytest.raises(BundleError, match=said) as caught,
            whole(tmp_path / name, BundleError, force=force),
        ):
            pass
        assert "--force" not in str(caught.value)
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"
    assert leftovers(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("is_there", [True, False])
def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path, kind, is_there):
    disk, link = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    link.symlink_to(disk / "target")
    if is_there:
        (disk / "target").mkdir() if kind == "folder" else (disk / "target").write_text("old")
    partial = Partial(link, kind)
    assert partial.path.is_relative_to(disk)  # on the disk that the link leads to
    written = partial.path / "a" if kind == "folder" else partial.path
    written.write_text("new")
    partial.keep()
    assert link.is_symlink()
    target = disk / "target"
    assert (target / "a" if kind == "folder" else target).read_text() == "new"
    assert [entry.name for entry in disk.iterdir()] == ["target"]


def test_a_link_that_leads_to_itself_is_an_error_before_anything_is_written(tmp_path):
    link = tmp_path / "out"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        Partial(link)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_new_folder_into_which_nothing_came_is_removed_with_its_parents(tmp_path, is_there):
    folder = tmp_path / "a" / "b"
    if is_there:
        folder.mkdir(parents=True)
    with kept_if_filled(folder):
        assert folder.is_dir()
    assert (tmp_path / "a").exists() is is_there
    with kept_if_filled(folder):
        (folder / "bundle").mkdir()
    assert (folder / "bundle").is_dir()


def test_a_process_that_is_ended_at_once_leaves_no_new_empty_folder(tmp_path):
    code = "import os; import edgebs.files as atomic\nfrom pathlib import Path\n"
    code += "with atomic.kept_if_filled(Path('a/b')):\n    atomic.discard_all(); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert not leftovers(tmp_path)
