"""What `save` takes beside tensors, and what `load` may be told."""

import pickle

import numpy as np
import pytest

import rubigo as rg


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
