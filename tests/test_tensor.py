"""The tensor object: converting, asking, writing, aliasing, identity, devices."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from twins import DTYPES, dtype_name, same, twins

import rubigo as rg

torch = pytest.importorskip("torch")


# Conversions.


@pytest.mark.parametrize("source", DTYPES)
def test_casts_follow_torch(source):
    for target in DTYPES:
        x, p = twins([0, 1, 1] if source == "bool" else [0, 1, 100], source)
        same(x.to(getattr(rg, target)), p.to(getattr(torch, target)))
    x, p = twins([0.0, -1.7, 2.5, 3.5], "float32")
    for target in ("int32", "int8", "bool", "float64", "bfloat16", "float16"):
        same(x.to(getattr(rg, target)), p.to(getattr(torch, target)))


def test_cast_methods_have_torchs_names():
    x, p = rg.tensor([0.0, 1.5]), torch.tensor([0.0, 1.5])
    methods = ["float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte"]
    for method in [*methods, "bool"]:
        same(getattr(x, method)(), getattr(p, method)())
    assert x.float() is x
    assert x.type() == "rubigo.float32"
    assert x.type_as(rg.tensor(1)).dtype is rg.int64


def test_to():
    x = rg.tensor([1.0])
    assert x.to("cpu") is x and x.to(rg.float32) is x and x.to(x) is x
    assert x.to(rg.float32, copy=True) is not x
    assert x.to("cpu", rg.float64).dtype is rg.float64
    assert x.to(device="cpu", dtype=rg.int32).dtype is rg.int32
    assert x.to(rg.tensor(1)).dtype is rg.int64
    with pytest.raises(TypeError, match="float32"):
        x.to(5)
    with pytest.raises((TypeError, ValueError), match="foo"):
        x.to("foo")
    y = rg.tensor([1.0], requires_grad=True)
    y.to(rg.float64).sum().backward()
    assert y.grad.tolist() == [1.0] and y.grad.dtype is rg.float32


def test_item_tolist_and_python_numbers():
    assert rg.tensor([[3]]).item() == 3 and isinstance(rg.tensor(3).item(), int)
    assert rg.tensor(True).item() is True
    assert rg.tensor(0.1, dtype=rg.float32).item() == np.float32(0.1)
    assert rg.tensor([[1, 2], [3, 4]]).T.tolist() == [[1, 3], [2, 4]]
    assert rg.tensor(5).tolist() == 5 and rg.tensor([]).tolist() == []
    assert int(rg.tensor([2.7])) == 2 and float(rg.tensor(1)) == 1.0
    assert [10, 20, 30][rg.tensor(1)] == 20
    with pytest.raises(TypeError):
        [1, 2][rg.tensor(1.0)]
    with pytest.raises(RuntimeError, match="2 elements"):
        rg.tensor([1, 2]).item()
    with pytest.raises((RuntimeError, ValueError)):
        int(rg.tensor(float("nan")))
    with pytest.raises(OverflowError):
        int(rg.tensor(float("inf")))


def test_truth_length_iteration_and_membership():
    assert rg.tensor([0.5]) and not rg.tensor(0)
    for data in ([], [1, 2]):
        with pytest.raises(RuntimeError, match="ambiguous"):
            bool(rg.tensor(data))
    assert len(rg.tensor([[1], [2]])) == 2
    with pytest.raises(TypeError, match="0-d"):
        len(rg.tensor(1))
    with pytest.raises(TypeError, match="0-d"):
        iter(rg.tensor(1))
    rows = list(rg.tensor([[1, 2], [3, 4]]))
    assert [r.tolist() for r in rows] == [[1, 2], [3, 4]]
    a, b = rg.tensor([1, 2])
    assert a.item() == 1 and b.item() == 2
    x = rg.tensor([1, 2])
    assert 2 in x and 5 not in x and rg.tensor(1) in x


def test_shape_stride_and_size():
    x = rg.tensor(np.zeros((2, 3, 4), np.float32))
    assert x.shape == (2, 3, 4) and type(x.shape) is tuple
    assert x.size() == (2, 3, 4) and x.size(-1) == 4 and x.stride() == (12, 4, 1)
    assert x.stride(0) == 12 and x.dim() == x.ndim == 3 and x.numel() == x.nelement() == 24
    assert x.element_size() == x.itemsize == 4 and x.nbytes == 96
    t = x.transpose(0, 2)
    assert t.stride() == (1, 4, 12) and not t.is_contiguous() and t.contiguous().is_contiguous()
    assert x.contiguous().data_ptr() == x.data_ptr()
    assert x[1].storage_offset() == 12
    with pytest.raises(IndexError, match="out of range"):
        x.size(3)


def test_transposes():
    x = rg.tensor(np.arange(24).reshape(2, 3, 4))
    assert x.mT.shape == (2, 4, 3) and x.T.shape == (4, 3, 2)
    assert rg.tensor([[1, 2]]).t().shape == (2, 1) and rg.tensor([1, 2]).t().shape == (2,)
    with pytest.raises(RuntimeError, match="matrices"):
        _ = rg.tensor([1]).mT
    with pytest.raises(RuntimeError, match="2 dimensions"):
        x.t()


# Writing.


def test_copy_fill_zero():
    x = rg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.copy_(rg.tensor([5, 6])) is x
    assert x.tolist() == [[5, 6], [5, 6]]
    assert x.T[0].fill_(7).tolist() == [7, 7] and x.tolist() == [[7, 6], [7, 6]]
    assert x.fill_(rg.tensor(2)).tolist() == [[2, 2], [2, 2]]
    assert x.zero_().tolist() == [[0, 0], [0, 0]]
    with pytest.raises(RuntimeError):
        x.copy_(rg.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(RuntimeError):
        x.fill_(rg.tensor([1.0]))
    with pytest.raises(TypeError):
        x.copy_("a")


def test_views_alias_their_base():
    x = rg.tensor(np.arange(6.0, dtype=np.float32))
    m = x.view(2, 3)
    m[0, 1] = 50
    assert x[1].item() == 50
    m.T[2].mul_(10)
    assert x.tolist() == [0, 50, 20, 3, 4, 50]
    assert m._base is not None and x._shares_memory(m) and m._version == x._version
    assert not x._shares_memory(x.clone())
    d = x.detach()
    d[0] = 9
    assert x[0].item() == 9
    assert x.reshape(3, 2).data_ptr() == x.data_ptr()
    assert m.T.reshape(6).data_ptr() != x.data_ptr()
    with pytest.raises(RuntimeError, match="view"):
        m.T.view(6)


def test_the_data_setter_keeps_the_variable():
    p = rg.nn.Parameter(rg.tensor([1.0, 2.0]))
    key, seen = id(p), []
    p.register_hook(lambda g: seen.append(g.tolist()))
    p.data = rg.tensor([3.0, 4.0])
    assert id(p) == key and isinstance(p, rg.nn.Parameter) and p.requires_grad
    (p * 2).sum().backward()
    assert p.grad.tolist() == [2, 2] and seen == [[2, 2]]
    p.data.mul_(10)
    assert p.tolist() == [30, 40] and p.is_leaf
    with pytest.raises(RuntimeError, match="history"):
        (p * 2).data = rg.tensor([1.0, 1.0])


# Identity, names, devices.


def test_weak_references_attributes_and_hash():
    x = rg.tensor([1.0])
    x.note = "kept"
    ref = weakref.ref(x)
    assert ref() is x and x.note == "kept" and {x: 1}[x] == 1 and hash(x) != hash(rg.tensor([1.0]))
    del x
    gc.collect()
    assert ref() is None


def test_names_of_the_reductions_with_indices():
    x, p = twins([[1.0, 5.0], [4.0, 2.0]], "float32")
    for f in ("max", "min"):
        same(getattr(x, f)(), getattr(p, f)())
        got, want = getattr(x, f)(1), getattr(p, f)(1)
        same(got.values, want.values)
        same(got.indices, want.indices)
        again = pickle.loads(pickle.dumps(got))
        assert repr(again) == repr(got) and type(again) is type(got)
        got, want = (
            getattr(rg, f)(x, dim=0, keepdim=True),
            getattr(torch, f)(p, dim=0, keepdim=True),
        )
        same(got[0], want[0])
        same(getattr(rg, f)(x, x.T), getattr(torch, f)(p, p.T))
    same(x.var(0), p.var(0))
    same(x.std(dim=1, unbiased=False), p.std(dim=1, unbiased=False))
    for ours, theirs in zip(rg.var_mean(x, 1), torch.var_mean(p, 1), strict=True):
        same(ours, theirs)
    same(x.norm(), p.norm())
    same(x.aminmax()[0], p.aminmax()[0])


def test_format():
    assert f"{rg.tensor(2.5):.2f}" == "2.50" and f"{rg.tensor(3)}" == "3"
    with pytest.raises(TypeError):
        f"{rg.tensor([1.0]):.2f}"
    assert f"{rg.tensor([1])}" == "tensor([1])"


def test_a_tensor_on_a_device(device):
    x = rg.tensor([1.0, 2.0], device=device)
    assert x.device == device and x.device.type == device and str(x.device) == device
    assert (x + 1).device == device and (x * rg.tensor(2.0)).tolist() == [2, 4]
    assert x.cpu().tolist() == [1, 2] and x.to(device) is x
    y = pickle.loads(pickle.dumps(x))
    assert y.device == device and y.tolist() == [1, 2]
    assert copy.deepcopy(x).device == device
    if device == "gpu":
        with pytest.raises((RuntimeError, TypeError), match="device"):
            x + rg.tensor([1.0, 2.0])
        with pytest.raises(TypeError, match="cpu"):
            x.numpy()
        with pytest.raises(TypeError, match="float32"):
            rg.tensor([1.0], dtype=rg.float64, device="gpu")


def test_numbers_of_the_cpu_beside_the_gpu(gpu):
    """0-d tensors on the CPU may stand beside GPU ones in every op."""
    x = rg.arange(6, dtype=rg.float32).to(gpu)
    at, value = rg.tensor(2), rg.tensor(1.5, requires_grad=True)
    assert x.gather(0, at).tolist() == 2.0
    assert x.take(at).tolist() == 2.0
    assert rg.nn.functional.embedding(at, x.view(3, 2)).tolist() == [4.0, 5.0]
    assert rg.nn.functional.cross_entropy(x, at).device == gpu
    assert x.scatter(0, at, 9.0).tolist() == [0, 1, 9, 3, 4, 5]
    (x * value).sum().backward()
    assert value.grad.device == "cpu" and value.grad.item() == 15.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("p", [0.5, 1, 2, 3])
def test_norms_of_half_numbers_do_not_overflow(dtype, p):
    ours, theirs = twins([300.0, 400.0, -500.0, 10.0], dtype)
    got, want = ours.norm(p), theirs.norm(p)
    assert dtype_name(got) == dtype
    np.testing.assert_allclose(got.item(), want.item(), 1e-2)


def test_draws_are_methods_too():
    p = rg.tensor([0.25, 0.75])
    rg.manual_seed(0)
    first = p.bernoulli().tolist(), p.multinomial(5, True).tolist()
    rg.manual_seed(0)
    assert first == (rg.bernoulli(p).tolist(), rg.multinomial(p, 5, True).tolist())
    assert rg.tensor([-2.0]).prelu(rg.tensor([0.5])).tolist() == [-1.0]
