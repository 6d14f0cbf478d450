"""Loading by assignment, and the hooks around state dicts, against PyTorch."""

import pytest

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")
BOTH = [(rg, nn), (torch, torch.nn)]


def holder(lib, n):
    module = n.Module()
    module.a = n.Parameter(lib.tensor(1.0))
    module.register_buffer("b", lib.zeros(2))
    module.c = n.Parameter(lib.zeros(3))
    return module


@pytest.mark.parametrize("lib, n", BOTH)
@pytest.mark.parametrize("trained", [True, False])
def test_assigned_parameters_are_trained_if_those_before_were(lib, n, trained):
    module = holder(lib, n)
    module.a.requires_grad_(trained)
    given = n.Parameter(lib.tensor(2.0), requires_grad=not trained)
    module.load_state_dict({"a": given, "b": lib.ones(2), "c": lib.ones(3)}, assign=True)
    assert module.a is given and given.requires_grad is trained
    assert isinstance(module.c, n.Parameter) and module.c.requires_grad


@pytest.mark.parametrize("lib, n", BOTH)
@pytest.mark.parametrize("assign", [False, True])
def test_one_element_becomes_a_number(lib, n, assign):
    module = holder(lib, n)
    state = {**module.state_dict(), "a": lib.tensor([3.0])}
    module.load_state_dict(state, assign=assign)
    assert tuple(module.a.shape) == () and module.a.item() == 3.0


@pytest.mark.parametrize("lib, n", BOTH)
def test_what_cannot_be_assigned_is_named(lib, n):
    module = holder(lib, n)
    state = {**module.state_dict(), "a": lib.tensor(3)}
    with pytest.raises(RuntimeError, match=r"\ba\b"):
        module.load_state_dict(state, assign=True)


def test_a_failed_assignment_takes_everything_back():
    module = nn.Sequential(holder(rg, nn), nn.Linear(1, 1))
    before = dict(module.state_dict(keep_vars=True))
    given = nn.Parameter(rg.tensor(2.0), requires_grad=False)
    # A parameter in the place of a buffer, which PyTorch allows.
    state = {**before, "0.a": given, "0.b": nn.Parameter(rg.ones(2)), "1.bias": rg.ones(7)}
    with pytest.raises(RuntimeError, match=r"1\.bias"):
        module.load_state_dict(state, assign=True)
    after = module.state_dict(keep_vars=True)
    assert list(after) == list(before) and all(after[k] is before[k] for k in after)
    assert list(dict(module.named_buffers())) == ["0.b"] and not given.requires_grad


@pytest.mark.parametrize("lib, n", BOTH)
def test_the_older_hooks(lib, n):
    model, seen = n.Sequential(n.Linear(1, 1, bias=False)), []
    model[0]._register_state_dict_hook(lambda m, state, prefix, about: {"lost": 1})
    model._register_state_dict_hook(lambda m, state, prefix, about: {**state, "root": prefix})
    state = model.state_dict()
    assert list(state) == ["0.weight", "root"] and state.pop("root") == ""
    handle = model[0]._register_load_state_dict_pre_hook(lambda *args: seen.append(args))
    model.load_state_dict(state)
    handle.remove()
    model[0]._register_load_state_dict_pre_hook(lambda *args: seen.append(args), with_module=True)
    model.load_state_dict(state)
    assert [len(args) for args in seen] == [7, 8] and seen[1][0] is model[0]
    assert [args[1] for args in (seen[0], seen[1][1:])] == ["0.", "0."]


@pytest.mark.parametrize("lib, n", BOTH)
def test_public_hooks_return_nothing(lib, n):
    layer = n.Linear(1, 1)
    state = layer.state_dict()
    layer.register_state_dict_post_hook(lambda m, state, prefix, about: state)
    with pytest.raises(RuntimeError, match="None"):
        layer.state_dict()
    layer.register_load_state_dict_post_hook(lambda m, keys: keys)
    with pytest.raises((RuntimeError, AssertionError), match="hook"):
        layer.load_state_dict(state)
