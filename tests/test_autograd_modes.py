"""Grad modes: as blocks, decorators and around generators, and for each thread its own."""

import threading

import pytest
from harness import Odd, leaf

import rubigo as rg


def test_modes_as_blocks_decorators_and_generators():
    x = leaf(1.0)
    with rg.no_grad():
        assert not (x * 2).requires_grad
        with rg.enable_grad():
            assert (x * 2).requires_grad
        assert not rg.is_grad_enabled()
    assert rg.is_grad_enabled()

    @rg.no_grad()
    def plain(t):
        return t * 2

    @rg.no_grad
    def bare(t):
        return t * 2

    @rg.inference_mode()
    def inference(t):
        return t * 2

    assert (
        not any(f(x).requires_grad for f in (plain, bare, inference)) and plain.__name__ == "plain"
    )

    @rg.no_grad()
    def batches(t):
        got = yield t * 2
        assert not rg.is_grad_enabled()
        yield got * 2
        return "end"

    g = batches(x)
    assert not next(g).requires_grad and rg.is_grad_enabled()
    assert not g.send(x).requires_grad and rg.is_grad_enabled()
    with pytest.raises(StopIteration, match="end"):
        next(g)

    with rg.set_grad_enabled(False):
        assert not rg.is_grad_enabled()
    assert rg.is_grad_enabled()
    rg.set_grad_enabled(False)
    assert not rg.is_grad_enabled()
    rg.set_grad_enabled(True)

    @rg.set_grad_enabled(False)
    def off(t):
        return t * 2

    assert rg.is_grad_enabled() and not off(x).requires_grad
    with pytest.raises(Odd), rg.no_grad():
        raise Odd
    assert rg.is_grad_enabled()


def test_generators_close_and_throw_under_no_grad():
    log = []

    @rg.no_grad()
    def numbers():
        try:
            while True:
                try:
                    yield 1
                except Odd:
                    log.append("caught")
        finally:
            log.append("closed")

    g = numbers()
    assert next(g) == 1 and g.throw(Odd()) == 1
    g.close()
    assert log == ["caught", "closed"] and rg.is_grad_enabled()


def test_the_mode_belongs_to_a_thread():
    seen = []
    with rg.no_grad():
        t = threading.Thread(target=lambda: seen.append(rg.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]
