"""Hooks on tensors: what they see and replace, their exceptions, and their removal."""

import pytest
from harness import Odd, leaf

import rubigo as rg


def test_hooks_see_and_replace_gradients():
    x, seen = leaf(1.0, 2.0), []
    y = x * 3
    a = y.register_hook(lambda g: seen.append(g.tolist()))
    b = y.register_hook(lambda g: g * 10)
    c = x.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert seen == [[1, 1]] and x.grad.tolist() == [31, 31]
    a.remove(), b.remove(), c.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3] and len(seen) == 1
    with y.register_hook(lambda g: g) as handle:
        assert handle is not None
    with pytest.raises(RuntimeError):
        rg.ones(2).register_hook(print)


def test_post_accumulate_hooks_get_the_tensor():
    x, seen = leaf(1.0, 2.0), []
    x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [(True, [2, 2]), (True, [4, 4])]
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_exceptions_pass_through_backward_whole():
    x = leaf(1.0)
    y = x * 2

    def hook(g):
        raise Odd("from the hook", 7)

    y.register_hook(hook)
    with pytest.raises(Odd) as caught:
        y.sum().backward()
    assert caught.value.args == ("from the hook", 7)
    assert any(entry.name == "hook" for entry in caught.traceback)
    z = x * 3
    z.register_hook(lambda g: "text")
    with pytest.raises(TypeError, match="hook"):
        z.sum().backward()
    w = x * 3
    w.register_hook(lambda g: rg.ones(5))
    with pytest.raises(RuntimeError):
        w.sum().backward()
    assert rg.is_grad_enabled()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2]


def test_backward_inside_a_hook():
    x, y = leaf(1.0), leaf(2.0)
    out = x * 3

    @rg.enable_grad()
    def hook(g):
        (y * y).sum().backward()

    out.register_hook(hook)
    out.sum().backward()
    assert x.grad.tolist() == [3] and y.grad.tolist() == [4]


def test_removing_a_hook_runs_its_destructor_outside_of_locks():
    t = rg.ones(2, requires_grad=True)
    y = t * 2
    for target in (t, y):

        class Hook:
            def __init__(self, target):
                self.target = target

            def __call__(self, grad):
                pass

            def __del__(self):
                self.target.register_hook(print)

        target.register_hook(Hook(target)).remove()
