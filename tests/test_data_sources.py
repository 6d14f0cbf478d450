"""What `rubigo.tensor` takes: sequences of any kind, arrays of any kind, and precise refusals."""

import array
import collections
import decimal

import numpy as np
import pytest

import rubigo as rg

torch = pytest.importorskip("torch")


class Squares:
    """A sequence by its methods alone."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        if i >= 3:
            raise IndexError(i)
        return i * i


SEQUENCES = {
    "deque": lambda t: collections.deque([1, 2, 3]),
    "deques": lambda t: collections.deque([(1.5, 2), [3, 4]]),
    "doubles": lambda t: array.array("d", [1, 2.5]),
    "bytes in an array": lambda t: array.array("B", [1, 255]),
    "an empty array": lambda t: array.array("d"),
    "bytearray": lambda t: bytearray(b"ab"),
    "memoryview": lambda t: memoryview(b"abc"),
    "a view of a view": lambda t: memoryview(b"abcdef")[::-2],
    "shorts in a memoryview": lambda t: memoryview(array.array("h", [1, -2])),
    "range": lambda t: range(10, 0, -3),
    "an empty range": lambda t: range(0),
    "methods": lambda t: Squares(),
    "UserList": lambda t: collections.UserList([True, False]),
    "ranges": lambda t: [range(3), range(3, 6)],
    "mixed": lambda t: [collections.deque([1, 2]), (3, 4), array.array("i", [5, 6])],
    "scalars of numpy": lambda t: [np.int32(1), np.int64(2), 3],
    "bools of numpy": lambda t: [np.bool_(True), False],
    "0-d tensors": lambda t: [t.tensor(1.5), 2, t.tensor(True)],
    "integer arrays": lambda t: [np.arange(2), np.arange(2, 4)],
    "arrays of arrays": lambda t: [[np.arange(2)], (np.arange(2),)],
}


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list")
@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_sequences(name, dtype):
    make = SEQUENCES[name]
    more = [{} if dtype is None else {"dtype": getattr(t, dtype)} for t in (torch, rg)]
    want = torch.tensor(make(torch), **more[0])
    got = rg.tensor(make(rg), **more[1])
    assert got.tolist() == want.tolist() and got.shape == tuple(want.shape)
    assert str(got.dtype).split(".")[-1] == str(want.dtype).split(".")[-1]
    if dtype is None:
        assert rg.as_tensor(make(rg)).equal(got)
        assert rg.Tensor(make(rg)).tolist() == want.float().tolist()


def test_gpu_scalars_in_a_list(gpu):
    x = rg.tensor([1.5, 2.5], device=gpu)
    assert rg.tensor([x[0], x[1]]).tolist() == [1.5, 2.5]
    assert rg.tensor([[x.sum()], [3]], device=gpu).tolist() == [[4.0], [3.0]]


def test_arrays_in_a_list_have_one_shape():
    with pytest.raises(ValueError, match=r"data\[1\] has shape \(3,\)"):
        rg.tensor([np.arange(2), np.arange(3)])


@pytest.mark.parametrize(
    "data", ["ab", b"ab", [b"ab"], {1, 2}, {0: 1}, None, [None], iter([1]), decimal.Decimal(1), 1j]
)
def test_what_is_no_data(data):
    with pytest.raises(TypeError, match="cannot make a tensor from a"):
        rg.tensor(data)


def test_arrays_that_a_tensor_cannot_view():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    for b in (a[::-1], a[:, ::-1], a.astype(">f4"), a.astype(">i2"), a.T, np.asfortranarray(a)):
        t = rg.tensor(b)
        assert t.tolist() == b.tolist() and t.dtype.name == b.dtype.name


def test_refused_arrays_say_what_to_do():
    with pytest.raises(TypeError, match="take one field"):
        rg.tensor(np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]))
    with pytest.raises(TypeError, match=r"array\.astype\(float\)"):
        rg.tensor(np.array([1, None], dtype=object))
    for bad in (np.array(["a"]), np.array([1j]), np.zeros(1, "M8[D]"), np.zeros(1, np.longdouble)):
        with pytest.raises(TypeError, match="supported types"):
            rg.tensor(bad)


class Interface:
    def __init__(self, data, **more):
        self.__array_interface__ = {
            "version": 3,
            "typestr": "<i4",
            "shape": (2,),
            "data": data,
        } | more


def test_an_interface_over_a_buffer_object():
    memory = bytearray(np.array([1, 2, 3], np.int32).tobytes())
    for data, more, want in ((memory, {}, [1, 2]), (memory, {"offset": 4}, [2, 3])):
        x = Interface(data, **more)
        assert np.asarray(x).tolist() == want
        t = rg.from_numpy(x)
        del x
        assert t.tolist() == want
    rg.from_numpy(Interface(memory)).fill_(7)
    assert np.frombuffer(memory, np.int32).tolist() == [7, 7, 3]
    for lie in (
        Interface(b"abc"),
        Interface(bytes(8), offset=4),
        Interface(bytes(8), strides=(8,)),
        Interface(bytes(8), offset=2**62),
        Interface(bytes(8), strides=(-4,)),
    ):
        with pytest.raises(ValueError, match="buffer"):
            rg.tensor(lie)
    with pytest.raises(TypeError, match="nor an object with a buffer"):
        rg.tensor(Interface(7))
    assert rg.tensor(Interface(bytes(memory))).tolist() == [7, 7]


def test_dlpack_without_a_copy_or_not_at_all(device):
    bytes_ = np.array([0, 1, 2], np.uint8)
    bools = bytes_.view(np.bool_)
    with pytest.raises(BufferError, match="copy=False"):
        rg.from_dlpack(bools, copy=False)
    assert rg.from_dlpack(bools).tolist() == [False, True, True]
    sound = np.array([True, False])
    shared = rg.from_dlpack(sound, copy=False)
    shared.fill_(True)
    assert sound.all()
    other = "gpu" if device == "cpu" else "cpu"
    x = rg.ones(2, device=device)
    assert rg.from_dlpack(x, copy=False)._shares_memory(x)
    if device == "gpu":
        with pytest.raises(BufferError, match="the tensor is on gpu"):
            rg.from_dlpack(x, device=other, copy=False)
        for producer in (np.ones(2, np.float32), torch.ones(2)):
            with pytest.raises(BufferError, match="copy=False"):
                rg.from_dlpack(producer, device="gpu", copy=False)
            assert rg.from_dlpack(producer, device="gpu").device.type == "gpu"
    raw = np.zeros(9, np.uint8)[1:].view(np.float32)
    with pytest.raises(BufferError):
        rg.from_dlpack(raw, copy=False)


@pytest.mark.parametrize("make", [rg.tensor, rg.from_numpy])
@pytest.mark.parametrize(
    ("shape", "strides"), [((64,), ()), ((4, 2), (4,)), ((4, 2), ()), ((4,), (4, 4)), ((), (4,))]
)
def test_an_interface_needs_a_stride_for_every_size(make, shape, strides):
    owner = np.zeros(8, np.float32)
    for data in (bytearray(32), (owner.ctypes.data, False)):

        class Lies:
            __array_interface__ = {
                "version": 3, "typestr": "<f4", "data": data, "shape": shape, "strides": strides,
            }  # fmt: skip

        with pytest.raises(ValueError, match=f"{len(strides)} strides for {len(shape)} sizes"):
            make(Lies())
