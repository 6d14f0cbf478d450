"""Threads that share leaves, a graph, or the memory they write."""

import threading

import numpy as np

import rubigo as rg


def in_threads(work, count=8):
    errors = []

    def guarded(i):
        try:
            work(i)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads), "a thread hangs"
    assert not errors, errors


def test_backward_from_threads_into_shared_leaves():
    w = rg.ones(1000, requires_grad=True)
    model = rg.nn.Linear(8, 8)

    def work(i):
        for _ in range(50):
            (w * float(i + 1)).sum().backward()
            model(rg.ones(2, 8)).sum().backward()

    in_threads(work)
    assert w.grad.tolist() == [50.0 * 36] * 1000
    assert model.bias.grad.tolist() == [8 * 50 * 2.0] * 8


def test_two_threads_share_a_graph():
    x = rg.ones(100, requires_grad=True)
    middle = (x * 2).exp()

    def work(i):
        for _ in range(20):
            (middle * float(i)).sum().backward(retain_graph=True)

    in_threads(work, 4)
    want = 20 * (0 + 1 + 2 + 3) * 2 * np.exp(2.0)
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-4)


def test_racing_writers_do_not_crash():
    x = rg.zeros(10_000)

    def work(i):
        for k in range(100):
            x.fill_(float(i)) if k % 2 else x.add_(1.0)
            x[::3].mul_(0.5)

    in_threads(work)
    assert x.isfinite().all()
