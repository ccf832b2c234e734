import json

import pytest
from fakes.networks.backends import fake_manifest

from edgebs.bundle import bundle_path, rewrite_manifest, write_bundle
from edgebs.bundle.manifest import Manifest
from edgebs.errors import BundleError, EngineMismatch
from edgebs.loading import load, load_bundle, verified_bundle
from edgebs.nvidia import DeviceOptions


@pytest.fixture
def bundle(tmp_path):
    engine = tmp_path / "made.onnx"
    engine.write_bytes(b"network" * 100)
    return write_bundle(fake_manifest(), {"segment.onnx": engine}, tmp_path / "bundle")


def edit(bundle, **changes):
    file = bundle.path / "manifest.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, **changes}))


def test_what_is_written_is_read_again(bundle):
    assert load_bundle(bundle.path).manifest == bundle.manifest
    assert set(bundle.manifest.files) == {"segment.onnx"}


def test_a_manifest_survives_json():
    manifest = fake_manifest()
    again = Manifest.from_json(json.loads(json.dumps(manifest.to_json())), "here")
    assert again == manifest


def test_one_flipped_byte_is_named_with_file_and_repair(bundle):
    engine = bundle.path / "segment.onnx"
    data = bytearray(engine.read_bytes())
    data[123] ^= 1
    engine.write_bytes(data)
    with pytest.raises(
        BundleError, match=r"segment\.onnx is damaged or was changed.*SHA-256.*export it again"
    ):
        load_bundle(bundle.path)


def test_a_missing_file_is_named(bundle):
    (bundle.path / "segment.onnx").unlink()
    with pytest.raises(BundleError, match=r"segment\.onnx is missing"):
        load_bundle(bundle.path)


def test_another_format_version_says_both_versions(bundle):
    edit(bundle, format=7)
    with pytest.raises(BundleError, match=r"format version 7; this edgebs reads 1.*0\.1\.0"):
        load_bundle(bundle.path)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', ""])
def test_a_damaged_manifest_is_a_clear_error(bundle, text):
    (bundle.path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json.*Export the bundle again"):
        load_bundle(bundle.path)


@pytest.mark.parametrize("key", ["networks", "cue", "size", "files"])
def test_a_missing_key_is_named(bundle, key):
    file = bundle.path / "manifest.json"
    data = json.loads(file.read_text())
    del data[key]
    file.write_text(json.dumps(data))
    with pytest.raises(BundleError, match=key):
        load_bundle(bundle.path)


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"segment.onnx": "abc"}},
        {"networks": {}},
        {"weights": {"segment": {}}},
        {"weights": {}},
        {"build": "x"},
        {"tools": 3},
        {"size": "big"},
        {"threshold": float("nan")},
        {"threshold": 1.5},
        {"cue": {"kind": "hop"}},
        {"format": 7, "tools": "x"},
    ],
    ids=str,
)
def test_a_manifest_of_the_wrong_form_is_a_clear_error(bundle, change):
    edit(bundle, **change)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(bundle.path)


def test_a_plan_without_a_word_of_what_it_was_built_for_is_not_loaded(bundle):
    networks = json.loads((bundle.path / "manifest.json").read_text())["networks"]
    networks["segment"]["backend"] = "tensorrt"
    edit(bundle, networks=networks)
    with pytest.raises(BundleError, match=r"Do not load it"):
        load_bundle(bundle.path)


def test_force_replaces_a_bundle_and_nothing_else(bundle, tmp_path):
    again = tmp_path / "again.onnx"
    again.write_bytes(b"x")
    write_bundle(fake_manifest(), {"segment.onnx": again}, bundle.path, force=True)
    assert load_bundle(bundle.path).file("segment").read_bytes() == b"x"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    again.write_bytes(b"x")
    with pytest.raises(BundleError, match="files of something else, so it is not replaced"):
        write_bundle(fake_manifest(), {"segment.onnx": again}, tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_network_without_a_hash_is_refused(bundle):
    edit(bundle, files={})
    with pytest.raises(BundleError, match=r"no SHA-256 for segment\.onnx"):
        load_bundle(bundle.path)


def test_a_file_name_that_leaves_the_bundle_is_refused(bundle):
    edit(bundle, files={"../made.onnx": {"sha256": "0", "bytes": 1}})
    with pytest.raises(BundleError, match="outside"):
        load_bundle(bundle.path)


def test_a_plan_of_another_gpu_says_what_was_built_and_what_is_here(bundle):
    built = {
        "module": "tensorrt",
        "tensorrt": "8.6.1.6",
        "compute_capability": "3.5",
        "platform": "linux-x86_64",
    }
    networks = json.loads((bundle.path / "manifest.json").read_text())["networks"]
    networks["segment"]["backend"] = "tensorrt"
    edit(bundle, build=built, target="gpu", networks=networks)
    with pytest.raises(EngineMismatch, match=r"3\.5.*8\.6\.1\.6.*here.*edgebs export"):
        load_bundle(bundle.path)


def test_no_bundle_is_said_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(BundleError, match=r"does not exist.*edgebs export"):
        load_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"is not a bundle.*edgebs export"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"neither a bundle folder nor a shipped model"):
        bundle_path("no-such-model")


def test_writing_over_a_bundle_needs_force(bundle, tmp_path):
    again = tmp_path / "again.onnx"
    again.write_bytes(b"x")
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(fake_manifest(), {"segment.onnx": again}, bundle.path)
    assert load_bundle(bundle.path).manifest == bundle.manifest


def test_a_parity_result_is_added_in_place(bundle):
    changed = rewrite_manifest(bundle, parity={"passed": True})
    assert load_bundle(bundle.path).manifest.parity == {"passed": True}
    assert changed.manifest.files == bundle.manifest.files


@pytest.mark.parametrize(
    ("parity", "said"),
    [
        (None, "bundle is not proven: it was not compared with PyTorch. Run: edgebs parity "),
        ({"passed": False, "gate": "mask IoU"}, "bundle failed its parity gate (mask IoU)"),
        ({"passed": True}, ""),
    ],
)
def test_what_is_not_proven_is_loaded_with_a_warning(bundle, caplog, parity, said):
    rewrite_manifest(bundle, parity=parity)
    verified_bundle(bundle.path, DeviceOptions())
    assert (said in caplog.text) if said else not caplog.text


def test_an_engine_that_is_no_network_fails_at_load_and_not_later(bundle):
    with pytest.raises(Exception, match=r"segment\.onnx") as caught:
        load(bundle)
    assert type(caught.value).__name__ == "BackendError"
