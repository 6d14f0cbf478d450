"""Modules as users see them: registering, walking, state, modes, containers, hooks, errors."""

import copy
import pickle

import numpy as np
import pytest
from twins import array, data

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")


class Block(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear1 = nn.Linear(width, 8)
        self.register_buffer("scale", rg.ones(8))
        self.register_buffer("cache", rg.zeros(1), persistent=False)
        self.extra = nn.Parameter(rg.zeros(8))

    def forward(self, x):
        return self.linear1(x) * self.scale + self.extra


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(8, 2)

    def forward(self, x, which=0):
        return self.head(self.layers[which](x))


def test_registration_and_walking():
    net = Net()
    assert [n for n, _ in net.named_children()] == ["layers", "head"]
    assert [n for n, _ in net.named_parameters()][:3] == [
        "layers.0.extra", "layers.0.linear1.weight", "layers.0.linear1.bias",
    ]  # fmt: skip
    assert [n for n, _ in net.layers[0].named_buffers()] == ["scale", "cache"]
    assert "layers.0.cache" not in net.state_dict() and "layers.0.scale" in net.state_dict()
    assert net.get_submodule("layers.1.linear1") is net.layers[1].linear1
    assert net.get_parameter("head.bias") is net.head.bias
    with pytest.raises(AttributeError, match="no child module 'foot'"):
        net.get_submodule("foot")
    net.layers[1].linear1 = net.layers[0].linear1
    assert len(list(net.parameters())) == 6 and len(list(net.modules())) == 6
    assert len(list(net.named_parameters(remove_duplicate=False))) == 8
    net.head.bias = None
    assert "head.bias" not in net.state_dict()
    del net.head
    assert [n for n, _ in net.named_children()] == ["layers"]


def test_wrong_assignments():
    net = Net()
    with pytest.raises(TypeError, match="Parameter or None expected"):
        net.head.weight = rg.zeros(2, 8)
    with pytest.raises(TypeError, match="Module or None expected"):
        net.head = 3
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("forward", rg.zeros(1))
    with pytest.raises(KeyError, match="dot"):
        net.register_parameter("a.b", None)

    class Early(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(rg.zeros(1))

    with pytest.raises(AttributeError, match=r"super\(\).__init__"):
        Early()
    with pytest.raises(NotImplementedError, match="no forward"):
        nn.Module()(1)


def test_state_dict_loads_all_or_nothing(device):
    a, b = Net().to(device), Net().to(device)
    state = a.state_dict()
    result = b.load_state_dict(state)
    assert not result.missing_keys and not result.unexpected_keys
    for name, value in b.state_dict().items():
        assert array(value).tolist() == array(state[name]).tolist()
    before = array(b.head.weight).copy()
    bad = {**state, "head.weight": rg.zeros(3, 8), "stray": rg.zeros(1)}
    del bad["head.bias"]
    with pytest.raises(RuntimeError) as error:
        b.load_state_dict(bad)
    text = str(error.value)
    assert "missing: head.bias" in text and "unexpected: stray" in text
    assert "head.weight: the model has shape (2, 8), the state_dict has (3, 8)" in text
    assert (array(b.head.weight) == before).all()
    loose = {"head.bias": rg.ones(2)}
    assert len(b.load_state_dict(loose, strict=False).missing_keys) == len(state) - 1
    assert array(b.head.bias).tolist() == [1.0, 1.0]


def test_modes_freezing_and_casting():
    net = Net()
    net.eval()
    assert not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    net.freeze()
    assert not any(p.requires_grad for p in net.parameters())
    net.unfreeze()
    weight = net.head.weight
    net(rg.ones(1, 4)).sum().backward()
    net.double()
    assert net.head.weight is weight and weight.dtype == rg.float64
    assert weight.grad.dtype == rg.float64 and net.layers[0].scale.dtype == rg.float64
    net.zero_grad()
    assert weight.grad is None
    assert net.to(rg.float32).head.weight.dtype == rg.float32
    with pytest.raises(TypeError, match="floating"):
        net.to(rg.int64)
    batch = nn.BatchNorm1d(2).half()
    assert batch.num_batches_tracked.dtype == rg.int64 and batch.weight.dtype == rg.float16


def test_copy_and_pickle_keep_types_and_ties():
    net = Net()
    net.layers[1].linear1.weight = net.layers[0].linear1.weight
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert isinstance(twin.head.weight, nn.Parameter) and twin.head.weight.requires_grad
        assert twin.head.weight is not net.head.weight
        assert twin.layers[1].linear1.weight is twin.layers[0].linear1.weight
        x = rg.ones(2, 4)
        assert array(twin(x)).tolist() == array(net(x)).tolist()


def test_containers():
    seq = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    seq.append(nn.Linear(3, 1)).insert(0, nn.Identity())
    assert [type(m).__name__ for m in seq] == ["Identity", "Linear", "ReLU", "Linear"]
    assert list(seq.state_dict()) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert len(seq[1:3]) == 2 and seq[-1] is seq[3]
    del seq[0]
    assert tuple(seq(rg.ones(4, 2)).shape) == (4, 1)
    assert isinstance(seq.pop(), nn.Linear) and len(seq) == 2
    with pytest.raises(IndexError, match="out of range"):
        seq[5]
    table = nn.ModuleDict({"a": nn.Linear(1, 1)})
    table.update({"b": nn.ReLU()})
    assert "b" in table and list(table.keys()) == ["a", "b"] and len(list(table.parameters())) == 2
    table.pop("a")
    assert list(table) == ["b"]
    assert len(list(nn.ParameterList([rg.zeros(1), rg.zeros(2)]).parameters())) == 2
    assert nn.ParameterDict({"w": rg.zeros(1)})["w"].requires_grad
    with pytest.raises(TypeError, match="must be a Module"):
        nn.Sequential(lambda x: x)


def test_error_names_the_layer():
    net = nn.Sequential(nn.Identity(), Net())
    with pytest.raises(ValueError) as error:
        net[1](rg.ones(3, 5), which=1)
    text = str(error.value)
    assert text.startswith("layers[1].linear1 (Linear): expected input with 4 features")
    assert "(3, 5)" in text and "hint" in text and text.count("Linear)") == 1
    with pytest.raises(ValueError, match=r"^\[1\]\.layers\[0\]\.linear1 \(Linear\): "):
        net(rg.ones(3, 5))
    with pytest.raises(ValueError, match="flatten"):
        nn.Linear(12, 2)(rg.ones(2, 3, 4))
    with pytest.raises(ValueError, match="channels look last"):
        nn.Conv2d(3, 4, 3)(rg.ones(2, 8, 8, 3))
    with pytest.raises(ValueError, match="expected input with 3 channels"):
        nn.BatchNorm2d(3)(rg.ones(2, 4, 5, 5))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(3)(rg.ones(1, 3))

    class Odd(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError) as kept:
        nn.Sequential(Odd())(1)
    assert kept.value.args == ("mine",)


def test_forward_hooks():
    layer, seen = nn.Linear(2, 2, bias=False), []
    handle = layer.register_forward_hook(lambda m, args, out: out * 2)
    pre = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    x = rg.zeros(1, 2)
    expected = array(layer.weight).sum(1) * 2
    np.testing.assert_allclose(array(layer(x))[0], expected, rtol=1e-6)
    handle.remove()
    handle.remove()
    np.testing.assert_allclose(array(layer(x))[0], expected / 2, rtol=1e-6)
    pre.remove()
    with layer.register_forward_hook(lambda m, a, k, o: seen.append((k, o)), with_kwargs=True):
        layer(input=x)
    assert list(seen[0][0]) == ["input"] and len(seen) == 1
    order = []
    layer.register_forward_hook(lambda *a: order.append("second"))
    layer.register_forward_hook(lambda *a: order.append("first"), prepend=True)
    layer(x)
    assert order == ["first", "second"]


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_backward_hooks_equal_torch():
    w, x = data(3, 2), data(4, 2, seed=1)
    results = []
    for lib, lib_nn in ((rg, nn), (torch, torch.nn)):
        layer, seen = lib_nn.Linear(2, 3, bias=False), []
        with lib.no_grad():
            layer.weight.copy_(lib.tensor(w))
        layer.register_full_backward_hook(lambda m, gi, go, seen=seen: seen.append((gi, go)))
        double = layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
        layer.register_full_backward_pre_hook(lambda m, go: (go[0] + 1,))
        inp = lib.tensor(x, requires_grad=True)
        layer(inp * 1).sum().backward()
        double.remove()
        (gi,), (go,) = seen[0]
        layer(lib.tensor(x)).sum().backward()
        assert seen[1][0] == (None,)
        results.append([array(v) for v in (gi, go, inp.grad, layer.weight.grad)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
