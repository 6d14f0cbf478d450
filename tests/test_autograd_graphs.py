"""Long, wide and cyclic graphs: they are built, walked and collected."""

import gc
import time
import weakref

import pytest
from harness import leaf
from test_autograd_function import Cube

import rubigo as rg


def test_a_graph_is_used_once_unless_it_is_kept():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_the_graph_can_be_walked():
    x = leaf(1.0)
    y = (x * 2).exp()
    assert y.grad_fn.name() == "ExpBackward" and x.grad_fn is None
    ((before, number),) = [e for e in y.grad_fn.next_functions if e[0] is not None]
    assert before.name() == "MulBackward" and number == 0


def test_a_chain_of_a_million_operations():
    x = rg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(1_000_000):
        y = y * 1.0
    y.backward(retain_graph=True)
    assert x.grad.item() == 1.0
    start = time.perf_counter()
    del y
    gc.collect()
    assert time.perf_counter() - start < 20
    # Unused and then dropped, without a backward that frees it first.
    y = x
    for _ in range(300_000):
        y = y + 1.0
    del y


def test_a_wide_graph_and_a_deep_view_chain():
    x = leaf(1.0, 2.0)
    parts = [x * i for i in range(2000)]
    rg.stack(parts).sum().backward()
    assert x.grad.tolist() == [1999000.0, 1999000.0]
    y = x * 1
    v = y
    for _ in range(2000):
        v = v[0:]
    v.mul_(2)
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("way", ["hook", "function", "attribute"])
def test_cycles_through_the_graph_are_collected(way):
    def make():
        x = rg.zeros(1000, requires_grad=True)
        y = x * 2
        if way == "hook":
            y.register_hook(lambda g: g * y.shape[0])
        elif way == "function":
            y = Cube.apply(y)
            y.grad_fn_again = y.grad_fn
        else:
            x.result = y
            y.me = y
        return weakref.ref(y)

    gc.collect()
    before = rg.cpu.memory_stats()["allocated_bytes"]
    refs = [make() for _ in range(50)]
    gc.collect()
    assert all(r() is None for r in refs)
    assert rg.cpu.memory_stats()["allocated_bytes"] <= before + 16384


def test_the_collector_leaves_what_others_use():
    w = rg.ones(4, requires_grad=True)
    b = w * 1
    b.me = b
    v, u = b[0:2], b[0:4]
    del b
    gc.collect()
    v.mul_(3)
    u.sum().backward()
    assert w.grad.tolist() == [3.0, 3.0, 1.0, 1.0]

    class Holder:
        pass

    m, seen = Holder(), []
    m.p = rg.ones(2, requires_grad=True)
    m.p.register_hook(lambda g, m=m: seen.append(g.tolist()))
    loss = (m.p * 2).sum()
    del m
    gc.collect()
    loss.backward()
    assert seen == [[2.0, 2.0]]


def test_a_long_chain_of_gradients_is_dropped():
    for link in (lambda y: y, lambda y: y * 1):
        x = first = rg.ones(3, requires_grad=True)
        for _ in range(100_000):
            y = rg.ones(3, requires_grad=True)
            x.grad = link(y)
            x = y
        del first, x, y
        gc.collect()
    x = rg.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="own grad"):
        x.grad = x
