"""Copies: pickling, deep and shallow copying, and what subclasses keep."""

import copy
import pickle

import numpy as np
import pytest
from twins import DTYPES, twins

import rubigo as rg


class Tagged(rg.Tensor):
    """A user's subclass."""


def test_subclasses():
    t = Tagged([1.0, 2.0])
    assert isinstance(t, rg.Tensor) and type(t + 1) is rg.Tensor and t.tolist() == [1, 2]
    x = rg.tensor([1.0, 2.0])
    v = x.as_subclass(Tagged)
    v[0] = 5
    assert type(v) is Tagged and x.tolist() == [5, 2]
    p = rg.nn.Parameter(x)
    assert (
        isinstance(p, rg.Tensor) and p.requires_grad and p.is_leaf and p.data_ptr() == x.data_ptr()
    )
    assert type(p * 2) is rg.Tensor and type(p.detach()) is rg.Tensor


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_every_protocol(protocol):
    for dtype in DTYPES:
        x, _ = twins([[0, 1], [1, 0]], dtype)
        x = x.T
        y = pickle.loads(pickle.dumps(x, protocol))
        assert y.dtype is x.dtype and y.shape == x.shape and y.equal(x)
    x = rg.tensor([1.0], requires_grad=True)
    x.note = {"a": 1}
    y = pickle.loads(pickle.dumps(x, protocol))
    assert y.requires_grad and y.is_leaf and y.note == {"a": 1}
    t = pickle.loads(pickle.dumps(Tagged([1.0]), protocol))
    assert type(t) is Tagged and t.tolist() == [1.0]
    empty = pickle.loads(pickle.dumps(rg.tensor([[]]), protocol))
    assert empty.shape == (1, 0)
    one, two = pickle.loads(pickle.dumps([x, x], protocol))
    assert one is two
    p = pickle.loads(pickle.dumps(rg.nn.Parameter(rg.tensor([1.0]), False), protocol))
    assert type(p) is rg.nn.Parameter and not p.requires_grad
    assert pickle.loads(pickle.dumps(rg.float16, protocol)) == rg.float16
    assert pickle.loads(pickle.dumps(rg.device("cpu"), protocol)) == "cpu"


def test_pickle_out_of_band():
    x = rg.tensor(np.arange(1000.0))
    buffers = []
    data = pickle.dumps(x, 5, buffer_callback=buffers.append)
    assert len(data) < 1000 and len(buffers) == 1
    assert pickle.loads(data, buffers=buffers).equal(x)


def test_pickle_refuses_damaged_bytes():
    rebuild, args = rg.tensor([1.0, 2.0]).__reduce_ex__(2)
    args = list(args)
    for i, bad in [(1, b"\0" * 7), (3, (3,)), (3, (2**40, 2**40)), (2, "float99")]:
        with pytest.raises((ValueError, TypeError, MemoryError)):
            rebuild(*[bad if j == i else a for j, a in enumerate(args)])


def test_results_of_operations_cannot_be_pickled_by_accident():
    with pytest.raises(RuntimeError, match="detach"):
        pickle.dumps(rg.tensor([1.0], requires_grad=True) * 2)


def test_deepcopy():
    x = rg.tensor([1.0, 2.0], requires_grad=True)
    x.note = ["a"]
    (x * 3).sum().backward()
    y = copy.deepcopy(x)
    assert y.equal(x) and y.requires_grad and y.data_ptr() != x.data_ptr()
    assert y.grad.tolist() == [3, 3] and y.grad.data_ptr() != x.grad.data_ptr()
    assert y.note == ["a"] and y.note is not x.note
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(x * 2)
    assert type(copy.deepcopy(Tagged([1.0]))) is Tagged
    a, b = copy.deepcopy([x, x])
    assert a is b


def test_deep_copies_share_memory_as_their_originals_do(device):
    a = rg.arange(12.0, device=device).view(3, 4)
    for made in (
        [a, a.view(-1)],
        [a.view(-1)[2:5], a],
        [a.t(), a[1:, ::2], a],
        {"x": a, "y": a[0]},
    ):
        copied = copy.deepcopy(made)
        pairs = zip(
            *(m.values() if isinstance(m, dict) else m for m in (made, copied)), strict=True
        )
        pairs = list(pairs)
        for old, new in pairs:
            assert new.equal(old) and new.stride() == old.stride() and not new._shares_memory(old)
        assert all(new._shares_memory(pairs[0][1]) for _, new in pairs)
        pairs[-1][1].zero_()
        wanted = copy.deepcopy(made)
        (list(wanted.values()) if isinstance(wanted, dict) else wanted)[-1].zero_()
        again = wanted.values() if isinstance(wanted, dict) else wanted
        assert all(new.equal(w) for (_, new), w in zip(pairs, again, strict=True))
    assert a.equal(rg.arange(12.0, device=device).view(3, 4))
    one, two = copy.deepcopy([a[0].detach(), a[2].detach()])
    assert one.tolist() == [0, 1, 2, 3] and two.tolist() == [8, 9, 10, 11]
    assert not copy.deepcopy(a)._shares_memory(copy.deepcopy(a))


def test_deepcopy_and_pickle_keep_tied_weights():
    class Tied(rg.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = rg.nn.Linear(2, 2, bias=False)
            self.second = rg.nn.Linear(2, 2, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x))

    model = Tied()
    made = copy.deepcopy(model)
    assert made.second.weight is made.first.weight and made.first.weight is not model.first.weight
    assert type(made.first.weight) is rg.nn.Parameter


def test_shallow_copies_share_memory_and_keep_the_rest():
    x = rg.tensor([1.0, 2.0])
    y = copy.copy(x)
    y[0] = 5
    assert x.tolist() == [5, 2] and y is not x
    p = rg.nn.Parameter(x)
    p.note = "kept"
    q = copy.copy(p)
    assert type(q) is rg.nn.Parameter and q.requires_grad and q.note == "kept"
    assert q.data_ptr() == p.data_ptr()
