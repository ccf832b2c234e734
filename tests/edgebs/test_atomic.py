import errno

import pytest

from edgebs.atomic import atomic_file, atomic_folder
from edgebs.errors import BundleError


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
            assert temporary.parent == tmp_path
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
