"""What `save` takes and where it writes, and what `load` gives and may be told."""

import os
import pickle

import numpy as np
import pytest

import rubigo as rg


def test_files_hold_64_dimensions(tmp_path):
    path = tmp_path / "x"
    rg.save(rg.ones([1] * 64), path)
    assert rg.load(path).shape == (1,) * 64
    with pytest.raises(ValueError, match="has 65 dimensions, a file holds up to 64"):
        rg.save({"a": rg.ones([1] * 65)}, path)
    assert rg.load(path).ndim == 64


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        rg.load(tmp_path / "missing")
    assert "missing" in str(caught.value)
    with pytest.raises((ValueError, IsADirectoryError), match=r"folder|irectory"):
        rg.load(tmp_path)
    with pytest.raises(OSError):
        rg.save({}, tmp_path)
    with pytest.raises(OSError):
        rg.save({}, tmp_path / "no" / "folder" / "x")
    for bad in (5, None, b"\0", "a\0b"):
        with pytest.raises((TypeError, ValueError, OSError)):
            rg.load(bad)
    with open(tmp_path / "f", "wb") as f, pytest.raises(TypeError, match="path"):
        rg.save({}, f)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="regular"):
            rg.load(tmp_path / "pipe")
        with pytest.raises(ValueError):
            rg.load("/dev/zero")


def test_what_a_file_holds(tmp_path):
    path = tmp_path / "x"
    x = rg.ones(2, 3)
    w = rg.tensor([1.0], requires_grad=True)
    nest = {
        "a": [1, 2.5, True, None, "text", float("inf"), np.float64("nan"), (x, x.T)],
        7: {"same": x, "w": w, "__metadata__": x},
        "empty": [{}, (), []],
        "half": x.half(),
        "a.0": x * 2,
    }
    rg.save(nest, path)
    got = rg.load(path)
    assert got["a"][:6] == nest["a"][:6] and got["a"][6] != got["a"][6]
    assert got["a"][7][0].equal(x) and got["a"][7][1].equal(x.T) and type(got["a"][7]) is tuple
    assert got[7]["same"] is got["a"][7][0] and got["empty"] == [{}, (), []]
    assert got["half"].dtype is rg.float16 and got[7]["w"].requires_grad and got[7]["w"].is_leaf
    got[7]["same"][0, 0] = 5
    assert got["a"][7][0][0, 0].item() == 5
    rg.save(x, path)
    assert rg.load(path).equal(x)
    loop = []
    loop.append(loop)
    for bad in (object(), {1.5: x}, [lambda: 1], {"a": {"b": {1, 2}}}, x.numpy(), loop):
        with pytest.raises((TypeError, ValueError, RecursionError)):
            rg.save(bad, path)
    assert rg.load(path).equal(x)
    with pytest.raises(TypeError, match=r"a\.1\.b"):
        rg.save({"a": [1, {"b": object()}]}, path)


def test_files_of_the_safetensors_package(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "x"
    rg.save({"w": rg.ones(2, 3), "i": rg.tensor([1, 2])}, path)
    theirs = numpy_files.load_file(path)
    assert theirs["w"].shape == (2, 3) and theirs["i"].tolist() == [1, 2]
    numpy_files.save_file({"odd": np.arange(3, dtype=np.uint8), "w": np.ones((2, 2))}, path)
    got = rg.load(path)
    assert got["odd"].tolist() == [0, 1, 2] and got["w"].dtype is rg.float64


def test_saving_through_a_link_replaces_what_it_points_to(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rg.save({"n": 1}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and rg.load(tmp_path / "real") == {"n": 1}


@pytest.mark.parametrize(
    "value",
    [np.float32(1.5), np.float16(-2), np.int64(3), np.uint8(4), np.bool_(True), np.str_("a")],
)
def test_scalars_of_numpy_are_saved_as_numbers(value, tmp_path):
    path = tmp_path / "x.safetensors"
    rg.save({"w": rg.ones(1), "value": value, "list": [value]}, path)
    loaded = rg.load(path)
    assert loaded["value"] == value.item() and type(loaded["value"]) is type(value.item())
    assert loaded["list"] == [value.item()]
    rg.save({np.int64(7): np.float32("inf")}, path)
    assert rg.load(path) == {7: float("inf")}


@pytest.mark.parametrize("value", [np.ones(2), np.array(1.0), np.longdouble(1), 1j, np.sin])
def test_arrays_and_what_is_no_number_are_refused(value, tmp_path):
    with pytest.raises(TypeError, match="v: cannot save a"):
        rg.save({"v": value}, tmp_path / "x")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        rg.load(tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_arguments_of_load(tmp_path):
    path = tmp_path / "x.safetensors"
    rg.save(rg.ones(2), path)
    for options in ({"mmap": True}, {"weights_only": False}, {"pickle_module": None}):
        assert rg.load(path, **options).tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="leave out pickle_module"):
        rg.load(path, pickle_module=pickle)
    for wrong in (lambda storage, location: storage, {"cuda:0": "cpu"}, rg.float16):
        with pytest.raises(TypeError, match='expected a device, "cpu" or "gpu"'):
            rg.load(path, map_location=wrong)
