"""numpy and DLPack both ways: without a copy where possible, never with dangling memory."""

import gc
import pickle
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import rubigo as rg

torch = pytest.importorskip("torch")

NUMPY = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16",
    "float32", "float64",
]  # fmt: skip


# numpy.


@pytest.mark.parametrize("dtype", NUMPY)
def test_numpy_shares_memory_both_ways(dtype):
    a = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    t = rg.from_numpy(a)
    assert str(t.dtype) == f"rubigo.{dtype}" and t.shape == (2, 3)
    assert t.data_ptr() == a.ctypes.data
    a[0, 0] = 1
    t[1, 2] = 0
    assert t[0, 0].item() == 1 and a[1, 2] == 0
    b = t.numpy()
    assert b.dtype == a.dtype and b.ctypes.data == a.ctypes.data and b.flags.writeable
    np.testing.assert_array_equal(np.asarray(t), a)


@given(st.lists(st.integers(0, 4), max_size=4), st.data())
@settings(max_examples=100, deadline=None)
def test_numpy_strides_come_through(shape, data):
    a = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    a = a.transpose(data.draw(st.permutations(range(len(shape)))))
    key = tuple(
        slice(data.draw(st.integers(0, 2)), None, data.draw(st.sampled_from([1, 2, 3, -1, -2])))
        for _ in a.shape
    )
    a = np.asarray(a[key])
    t = rg.from_numpy(a)
    np.testing.assert_array_equal(t.numpy(), a)
    if a.size and all(s >= 0 for s in a.strides):
        assert t.data_ptr() == a.ctypes.data
    np.testing.assert_array_equal(rg.tensor(a).numpy(), a)
    np.testing.assert_array_equal(t.numpy() + 1, (t + 1).numpy())


def test_views_of_tensors_become_views_of_arrays():
    x = rg.tensor(np.arange(24.0).reshape(2, 3, 4))
    for view in (x.permute(2, 0, 1), x[:, 1:, ::2], x[1], x[0, 0, 0], x.expand(5, 2, 3, 4)):
        a = view.numpy()
        assert a.shape == view.shape
        np.testing.assert_array_equal(a, np.array(view.tolist()))
    x[0].numpy()[:] = -1
    assert (x[0] == -1).all()


def test_read_only_arrays_are_copied():
    a = np.arange(3.0)
    a.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t = rg.from_numpy(a)
    t[0] = 7
    assert a[0] == 0 and t[0].item() == 7
    b = np.broadcast_to(np.float32(1.0), (2, 3))
    u = rg.from_numpy(b)
    u[0, 0] = 5
    assert u.tolist() == [[5, 1, 1], [1, 1, 1]] and b[0, 0] == 1


def test_what_a_tensor_cannot_view_is_copied():
    a = np.arange(6.0)
    assert rg.from_numpy(a[::-1]).tolist() == [5, 4, 3, 2, 1, 0]
    assert rg.from_numpy(np.array([1, 2, 300], ">i4")).tolist() == [1, 2, 300]
    assert rg.from_numpy(np.array([1.5], ">f8")).tolist() == [1.5]
    assert rg.tensor(np.array(3, ">i8")).item() == 3
    raw = np.zeros(17, np.uint8)[1:].view(np.float64)
    assert not raw.flags.aligned
    raw[:] = 2.5
    assert rg.from_numpy(raw).tolist() == [2.5, 2.5]
    record = np.zeros(3, [("a", "i1"), ("b", "f4")])
    record["b"] = [1, 2, 3]
    assert rg.from_numpy(record["b"]).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a"]),
        np.array([b"a"]),
        np.array([None]),
        np.array([1], "M8[s]"),
        np.array([1j]),
        np.zeros(2, [("a", "i4")]),
        np.array([1], np.longdouble),
    ],
)
def test_unsupported_dtypes_are_a_type_error(array):
    for convert in (rg.from_numpy, rg.tensor, rg.as_tensor):
        with pytest.raises(TypeError, match="type"):
            convert(array)


def test_from_numpy_takes_arrays_only():
    for bad in (1, [1, 2], "a", None, rg.tensor([1])):
        with pytest.raises(TypeError, match=r"numpy\.ndarray"):
            rg.from_numpy(bad)


def test_what_numpy_cannot_hold():
    with pytest.raises(RuntimeError, match="detach"):
        rg.tensor([1.0], requires_grad=True).numpy()
    assert rg.tensor([1.0], requires_grad=True).numpy(force=True).tolist() == [1]
    with pytest.raises(TypeError, match="float"):
        rg.tensor([1.0], dtype=rg.bfloat16).numpy()


def test_empty_and_scalar_arrays():
    for shape in ((0,), (2, 0, 3), ()):
        a = np.ones(shape, np.float32)
        t = rg.from_numpy(a)
        assert t.shape == shape and t.numpy().shape == shape
        np.testing.assert_array_equal(t.numpy(), a)


def test_lifetime_through_numpy():
    a = np.arange(1000.0)
    t, gone = rg.from_numpy(a), weakref.ref(a)
    view = t[500:]
    del a, t
    gc.collect()
    assert gone() is not None and view[0].item() == 500
    del view
    gc.collect()
    assert gone() is None
    b = rg.tensor(np.arange(1000.0)).numpy()[3:]
    gc.collect()
    junk = [rg.zeros(1000) for _ in range(20)]
    assert b[0] == 3 and len(junk) == 20
    before = rg.cpu.memory_stats()["allocated_bytes"]
    for _ in range(100):
        _ = rg.ones(1000).numpy()
    gc.collect()
    assert rg.cpu.memory_stats()["allocated_bytes"] <= before + 8192


def test_the_array_protocol():
    x = rg.tensor([1.0, 2.0])
    assert np.asarray(x).ctypes.data == x.data_ptr()
    assert np.array(x).ctypes.data != x.data_ptr()
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.array(x, copy=False).ctypes.data == x.data_ptr()
    with pytest.raises(ValueError):
        np.asarray(x, np.float64, copy=False)
    assert np.stack([x, x]).shape == (2, 2)
    assert np.add(x.numpy(), 1).tolist() == [2, 3]


def test_an_object_with_a_lying_array_interface():
    class Liar:
        def __init__(self, **more):
            self.array = np.zeros(4, np.float32)
            self.__array_interface__ = {**self.array.__array_interface__, **more}

    assert rg.from_numpy(Liar()).tolist() == [0] * 4
    for more in (
        {"typestr": "<x9"},
        {"shape": (2**62, 4)},
        {"shape": (-1,)},
        {"strides": ("a",)},
        {"data": None},
    ):
        with pytest.raises((TypeError, ValueError, RuntimeError, OverflowError, MemoryError)):
            rg.from_numpy(Liar(**more))


# Other libraries' tensors where ours are expected.


class Shared:
    """A library's tensor that only lends its memory."""

    def __init__(self, values):
        self.values = np.array(values, np.float32)
        self.shape, self.ndim = self.values.shape, self.values.ndim

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)


class Table:
    """A library's table, which numpy can read."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, np.float32)


@pytest.mark.parametrize("make", [torch.tensor, np.float32, Shared, Table])
@pytest.mark.parametrize("assign", [False, True])
def test_state_dicts_take_other_libraries_tensors(make, assign):
    layer = rg.nn.Linear(2, 1)
    state = {"weight": make([[1.0, 2.0]]), "bias": make([3.0])}
    layer.load_state_dict(state, assign=assign)
    assert layer(rg.ones(1, 2)).item() == 6.0 and isinstance(layer.weight, rg.nn.Parameter)
    layer.load_state_dict({"weight": make([[0.0, 0.0]]), "bias": make([1.0])})
    with pytest.raises(RuntimeError, match=r"bias: the model has shape \(1,\)"):
        layer.load_state_dict({**state, "bias": make([3.0, 3.0])})
    assert layer.bias.item() == 1.0


def test_what_a_state_dict_cannot_take_is_named():
    layer = rg.nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match=r"weight: .*detach.*\n  bias: .* got NoneType"):
        layer.load_state_dict({"weight": torch.nn.Linear(2, 1).weight, "bias": None})


@pytest.mark.parametrize("make", [torch.tensor, Shared])
def test_samples_of_other_libraries(make):
    rows = [(make([1.0, 2.0]), 0), (make([3.0, 4.0]), 1)]
    [(x, y)] = rg.data.DataLoader(rows, 2)
    assert x.tolist() == [[1, 2], [3, 4]] and y.tolist() == [0, 1]
    [single, _] = list(rg.data.DataLoader([row for row, _ in rows], batch_size=None))
    assert isinstance(single, rg.Tensor) and single.tolist() == [1, 2]


@pytest.mark.parametrize("make", [torch.tensor, Shared, Table])
def test_data_and_scores_of_other_libraries(make):
    assert rg.metrics.mse(make([1.0, 2.0]), make([1.0, 4.0])) == 2.0
    model = rg.nn.Linear(2, 1)
    optimizer = rg.optim.SGD(model.parameters(), lr=0.1)
    trainer = rg.train.Trainer(model, optimizer, rg.nn.MSELoss())
    x, y = make([[1.0, 2.0], [3.0, 4.0]]), make([[1.0], [2.0]])
    trainer.fit(x, y, epochs=1, verbose=False)
    assert trainer.predict((x,)).shape == (2, 1)


@pytest.mark.parametrize("other, name", [(torch.ones(2), "torch.Tensor"), (np.ones(2), "ndarray")])
def test_messages_name_the_library(other, name):
    for call in (rg.nn.Parameter, lambda x: rg.nn.functional.mse_loss(rg.ones(2), x)):
        with pytest.raises(TypeError, match=rf"got (numpy\.)?{name}\n  hint: rg\.from_"):
            call(other)


def test_makers_name_the_library():
    for make in (rg.tensor, rg.as_tensor):
        with pytest.raises(TypeError, match=r"from a torch\.Tensor (.|\n)*rg\.from_dlpack"):
            make(torch.ones(2))
    with pytest.raises(TypeError, match=r"not torch\.Tensor"):
        rg.exp(torch.ones(2))


# DLPack.


def test_dlpack_with_torch_shares_memory():
    p = torch.arange(6, dtype=torch.float32).view(2, 3)
    x = rg.from_dlpack(p)
    assert x.data_ptr() == p.data_ptr() and x.shape == (2, 3)
    x[0, 0] = 9
    assert p[0, 0] == 9
    q = torch.from_dlpack(x.T)
    assert q.data_ptr() == p.data_ptr() and tuple(q.shape) == (3, 2)
    q.zero_()
    assert x.tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("dtype", [*NUMPY, "bfloat16"])
def test_dlpack_dtypes(dtype):
    x = rg.tensor([0, 1, 1, 0]).to(getattr(rg, dtype))
    assert str(torch.from_dlpack(x).dtype) == f"torch.{dtype}"
    assert rg.from_dlpack(torch.from_dlpack(x)).dtype is x.dtype
    if dtype != "bfloat16":
        assert np.from_dlpack(x).dtype == np.dtype(dtype)
        assert rg.from_dlpack(np.array([0, 1]).astype(dtype)).dtype is x.dtype


def test_dlpack_with_numpy_strides_and_offsets():
    a = np.arange(24.0).reshape(2, 3, 4)
    for view in (a, a.T, a[1, ::2], a[:, :, 1], a[0, 0, 0:0]):
        x = rg.from_dlpack(view)
        np.testing.assert_array_equal(x.numpy(), view)
        np.testing.assert_array_equal(np.from_dlpack(x), view)
    with pytest.raises((BufferError, ValueError)):
        rg.from_dlpack(a[::-1])


def test_dlpack_capsules_old_and_new():
    x = rg.tensor([1.0, 2.0])
    legacy, versioned = x.__dlpack__(), x.__dlpack__(max_version=(1, 0))
    assert '"dltensor"' in repr(legacy) and '"dltensor_versioned"' in repr(versioned)
    for capsule in (legacy, versioned):
        y = rg.from_dlpack(capsule)
        assert y.data_ptr() == x.data_ptr() and "used" in repr(capsule)
        with pytest.raises(ValueError, match="not used yet"):
            rg.from_dlpack(capsule)
    assert torch.utils.dlpack.from_dlpack(x.__dlpack__()).tolist() == [1, 2]
    old = torch.utils.dlpack.to_dlpack(torch.tensor([3.0]))
    assert rg.from_dlpack(old).tolist() == [3]
    for bad in (1, None, "a", [1]):
        with pytest.raises((ValueError, TypeError)):
            rg.from_dlpack(bad)


def test_dlpack_producers_from_before_version_one():
    class Old:
        def __dlpack__(self, stream=None):
            return torch.utils.dlpack.to_dlpack(torch.tensor([1, 2]))

        def __dlpack_device__(self):
            return (1, 0)

    assert rg.from_dlpack(Old()).tolist() == [1, 2]


def test_dlpack_copies():
    x = rg.tensor([1.0, 2.0])
    y = rg.from_dlpack(x, copy=True)
    y[0] = 9
    assert x[0].item() == 1 and y.data_ptr() != x.data_ptr()
    assert rg.from_dlpack(x).data_ptr() == x.data_ptr()
    assert rg.from_dlpack(x, copy=False).data_ptr() == x.data_ptr()
    p = torch.tensor([1.0])
    assert rg.from_dlpack(p, copy=True).data_ptr() != p.data_ptr()
    a = np.from_dlpack(x, copy=True)
    a[0] = 7
    assert x[0].item() == 1


def test_dlpack_refuses_what_it_cannot_give():
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(rg.tensor([1.0], requires_grad=True))
    x = rg.tensor([1.0])
    with pytest.raises(BufferError, match="stream"):
        x.__dlpack__(stream=1)
    with pytest.raises(BufferError, match="CPU"):
        x.__dlpack__(dl_device=(2, 0))
    assert x.__dlpack_device__() == (1, 0)
    a = np.arange(3.0)
    a.flags.writeable = False
    y = rg.from_dlpack(a)
    y[0] = 5
    assert a[0] == 0


def test_dlpack_lifetimes():
    before = rg.cpu.memory_stats()["allocated_bytes"]
    for _ in range(20):
        rg.ones(1000).__dlpack__()
        rg.ones(1000).__dlpack__(max_version=(1, 0))
        torch.from_dlpack(rg.ones(1000))
        rg.from_dlpack(rg.ones(1000).__dlpack__())
    gc.collect()
    assert rg.cpu.memory_stats()["allocated_bytes"] <= before + 8192
    p = torch.from_dlpack(rg.tensor(np.arange(1000.0)))[10:]
    gc.collect()
    _ = [rg.zeros(1000) for _ in range(20)]
    assert p[0].item() == 10
    a = np.arange(1000.0)
    x, gone = rg.from_dlpack(a), weakref.ref(a)
    del a
    gc.collect()
    assert x[999].item() == 999
    del x
    gc.collect()
    assert gone() is None


def test_gpu_tensors_leave_by_copy(gpu):
    x = rg.tensor([1.0, 2.0], device=gpu)
    with pytest.raises(TypeError, match=r"cpu\(\)"):
        x.numpy()
    assert x.numpy(force=True).tolist() == [1, 2]
    with pytest.raises(BufferError, match="copy"):
        x.__dlpack__()
    assert rg.from_dlpack(x.__dlpack__(dl_device=(1, 0))).tolist() == [1, 2]
    assert rg.from_dlpack(torch.tensor([1.0]), device=gpu).device == gpu


# The buffer protocol, inwards.


def test_buffers_become_tensors_through_numpy():
    data = bytearray(np.arange(4, dtype=np.float32).tobytes())
    t = rg.from_numpy(np.frombuffer(data, np.float32))
    t[0] = 5
    assert np.frombuffer(data, np.float32)[0] == 5
    with pytest.raises(BufferError):
        data.extend(b"x")
    del t
    gc.collect()
    data.extend(b"x")


def test_bools_that_change_under_us(device, tmp_path):
    """What numpy writes later into lent bytes: all but 0 is true, and copies are of 0 and 1."""
    lent = np.zeros(4, bool)
    t = rg.from_numpy(lent)
    lent.view(np.uint8)[:] = [0, 2, 3, 255]
    x = t.to(device)
    assert x.sum().item() == 3 and x.int().tolist() == [0, 1, 1, 1]
    assert x.tolist() == [False, True, True, True] and (~x).tolist() == [True, False, False, False]
    assert rg.where(x, 1.0, 2.0).tolist() == [2.0, 1.0, 1.0, 1.0]
    assert rg.arange(4, device=device)[x].tolist() == [1, 2, 3] and not x.all() and x.any()
    assert t.clone().numpy().view(np.uint8).tolist() == [0, 1, 1, 1]
    assert (t == rg.tensor([False, True, True, True])).all()
    rg.save(t, tmp_path / "t.safetensors")
    assert rg.load(tmp_path / "t.safetensors").equal(t) and pickle.loads(pickle.dumps(t)).equal(t)
    assert t[rg.tensor([1, 2, 3])].to(device).sum().item() == 3
    own = rg.zeros(4, dtype=rg.bool)
    own.numpy().view(np.uint8)[:] = [0, 2, 7, 255]
    assert own.to(device).sum().item() == 3
