"""What writers of modules rely on: overridden methods, hooks, names; against PyTorch."""

import copy

import numpy as np
import pytest

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")
BOTH = [(rg, nn), (torch, torch.nn)]


def frozen_norm(n):
    class Frozen(n.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[1].eval()
            return self

    return Frozen(n.Linear(2, 2), n.BatchNorm1d(2))


def test_children_hear_of_train_by_their_own_method():
    for _, n in BOTH:
        model = n.Sequential(frozen_norm(n))
        assert [m.training for m in model.train().modules()] == [True, True, True, False]
        assert not any(m.training for m in model.eval().modules())


def test_state_dict_prefix_order_and_destination():
    for lib, n in BOTH:

        class Net(n.Module):
            def __init__(self, lib=lib, n=n):
                super().__init__()
                self.register_buffer("b", lib.zeros(1))
                self.inner = n.BatchNorm1d(1)
                self.w = n.Parameter(lib.zeros(1))

        found = {"old": 1}
        assert Net().state_dict(destination=found, prefix="p") is found
        assert list(found) == [
            "old", "pw", "pb", "pinner.weight", "pinner.bias", "pinner.running_mean",
            "pinner.running_var", "pinner.num_batches_tracked",
        ]  # fmt: skip


def counter(n):
    class Counter(n.Module):
        def __init__(self):
            super().__init__()
            self.linear = n.Linear(1, 1)
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    return Counter()


def test_extra_state():
    for _, n in BOTH:
        a, b = n.Sequential(counter(n)), n.Sequential(counter(n))
        a[0].count = 5
        state = a.state_dict()
        assert list(state) == ["0._extra_state", "0.linear.weight", "0.linear.bias"]
        b.load_state_dict(state)
        assert b[0].count == 5
        b[0].count = 6
        del state["0._extra_state"]
        assert b.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]
        with pytest.raises(RuntimeError, match="_extra_state"):
            b.load_state_dict(state)
        with pytest.raises(RuntimeError, match="_extra_state"):
            n.Linear(1, 1).load_state_dict({**n.Linear(1, 1).state_dict(), "_extra_state": 1})
    # rubigo takes back what it had loaded before it met the error.
    state = a.state_dict()
    c = nn.Sequential(counter(nn), nn.Linear(1, 1))
    c[0].count = 9
    with pytest.raises(RuntimeError, match=r"missing: .*1\.weight"):
        c.load_state_dict({"0._extra_state": {"count": 1}}, strict=True)
    assert c[0].count == 9


def test_children_save_and_load_by_their_own_methods():
    for lib, n in BOTH:

        class Doubled(n.Linear):
            def _save_to_state_dict(self, destination, prefix, keep_vars):
                super()._save_to_state_dict(destination, prefix, keep_vars)
                destination[prefix + "twice"] = destination.pop(prefix + "weight") * 2

            def _load_from_state_dict(self, state_dict, prefix, *rest):
                state_dict[prefix + "weight"] = state_dict.pop(prefix + "twice") / 2
                super()._load_from_state_dict(state_dict, prefix, *rest)
                self.seen = self.weight.sum().item()

        model = n.Sequential(Doubled(2, 1), n.Linear(1, 1))
        with lib.no_grad():
            model[0].weight.fill_(3.0)
        state = model.state_dict()
        assert list(state) == ["0.bias", "0.twice", "1.weight", "1.bias"]
        with lib.no_grad():
            model[0].weight.fill_(0.0)
        assert repr(model.load_state_dict(state)) == "<All keys matched successfully>"
        assert model[0].weight.tolist() == [[3.0, 3.0]] and model[0].seen == 6.0


def test_a_failed_load_takes_everything_back():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    weight = model[0].weight
    for assign in (False, True):
        bad = {k: v + 1 for k, v in before.items()}
        bad["2.bias"] = rg.ones(7)
        with pytest.raises(RuntimeError, match=r"2\.bias"):
            model.load_state_dict(bad, assign=assign)
        assert all(v.equal(before[k]) for k, v in model.state_dict().items())
        assert model[0].weight is weight

    class Breaks(nn.Linear):
        def _load_from_state_dict(self, *args):
            raise OSError("mine")

    model.append(Breaks(2, 2))
    with pytest.raises(OSError, match="mine"):
        model.load_state_dict({k: v + 1 for k, v in before.items()})
    assert model[0].weight.equal(before["0.weight"])


def test_batch_norm_loads_files_that_count_no_batches():
    layer = nn.BatchNorm1d(2)
    state = {k: v + 1 for k, v in layer.state_dict().items() if k != "num_batches_tracked"}
    twin = torch.nn.BatchNorm1d(2)
    # As torch does where the file tells no version.
    twin.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in state.items()})
    layer(rg.ones(3, 2))
    layer.load_state_dict(state)
    assert layer.running_var.tolist() == [2.0, 2.0] and layer.num_batches_tracked.item() == 1
    bare = nn.BatchNorm1d(2, track_running_stats=False)
    assert not bare.load_state_dict(bare.state_dict()).missing_keys


@pytest.mark.parametrize("lib, n", BOTH)
def test_state_hooks(lib, n):
    model, seen = n.Sequential(n.Linear(1, 1, bias=False)), []
    layer = model[0]
    layer.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((prefix, keep)))

    def rename(m, state, prefix, metadata):
        state[prefix + "old"] = state.pop(prefix + "weight")

    def back(m, state, prefix, metadata, strict, missing, unexpected, errors):
        state[prefix + "weight"] = state.pop(prefix + "old")

    layer.register_state_dict_post_hook(rename)
    layer.register_load_state_dict_pre_hook(back)
    state = model.state_dict()
    assert list(state) == ["0.old"] and seen == [("0.", False)]
    handle = model.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys))
    assert isinstance(handle.id, int)
    state["more"] = lib.zeros(1)
    model.register_load_state_dict_post_hook(lambda m, keys: keys.unexpected_keys.clear())
    model.load_state_dict(state)
    assert len(seen) == 2
    assert list(copy.deepcopy(model).state_dict()) == ["0.old"]


def test_children_convert_by_their_own_method():
    for lib, n in BOTH:

        class Keeps(n.Linear):
            def _apply(self, fn, recurse=True):
                return self

        model = n.Sequential(Keeps(1, 1), n.Linear(1, 1)).double()
        assert [p.dtype for p in model.parameters()] == [lib.float32] * 2 + [lib.float64] * 2


def test_conversions(gpu):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model.to("cpu", non_blocking=True)
    model.to("cpu", rg.float64, True)
    assert model[0].weight.dtype is rg.float64
    assert model.type(rg.float32)[1].num_batches_tracked.dtype is rg.float32
    assert str(model.to_empty(device=gpu)[0].weight.device).startswith("gpu")
    with pytest.raises(NotImplementedError, match="processes"):
        model.share_memory()


def test_a_failed_conversion_changes_nothing(gpu):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to(gpu)
    model(rg.ones(3, 2, device=gpu)).sum().backward()
    grad = model[1].bias.grad
    model[1].bias.data = model[1].bias.data.half()
    model[1].bias.grad = grad.half()
    grads = [p.grad.clone() for p in model.parameters()]

    def fails_late(t):
        if t.dtype is rg.float16:
            raise MemoryError("no room")
        return t.half()

    for convert in (lambda: model.double(), lambda: nn.state.converted(model, fails_late)):
        with pytest.raises((TypeError, MemoryError)):
            convert()
        assert [p.dtype for p in model.parameters()] == [rg.float32] * 3 + [rg.float16]
        for p, g in zip(model.parameters(), grads, strict=True):
            assert p.grad.dtype is p.dtype and p.grad.tolist() == g.tolist()
        assert model[1].running_mean.dtype is rg.float32


def test_a_users_own_names_do_not_disturb():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self._hooks, self._slots = [], 5
            self.linear = nn.Linear(1, 1)

        def _register(self):
            return "mine"

        _named = _of_kind = _check_name = _own_hooks = _get_value = _child_lines = _register

        def forward(self, x):
            return self.linear(x)

    net = nn.Sequential(Net())
    net.register_forward_hook(lambda *args: None)
    assert tuple(net(rg.ones(2, 1)).shape) == (2, 1)
    assert len(net.state_dict()) == 2 and len(list(net.parameters())) == 2 and "Linear" in repr(net)
    net[0].register_buffer("b", rg.zeros(1))
    net[0].get_parameter("linear.bias")
    net.double()


def test_names_are_not_taken_twice():
    for lib, n in BOTH:
        model = n.Sequential(n.BatchNorm1d(2))
        model[0].register_buffer("running_mean", lib.ones(2))  # of its own kind: replaced
        with pytest.raises(KeyError, match="attribute '0' already exists"):
            model.register_buffer("0", lib.zeros(1))
        with pytest.raises(KeyError, match="attribute 'weight' already exists"):
            model[0].register_buffer("weight", lib.zeros(1))
        with pytest.raises(KeyError, match="attribute 'bias' already exists"):
            model[0].add_module("bias", n.ReLU())
        with pytest.raises(KeyError, match="attribute 'running_var' already exists"):
            model[0].register_parameter("running_var", None)
        assert isinstance(model[0], n.BatchNorm1d)


def test_super_init_forgotten():
    class Early(nn.Module):
        def __init__(self):
            self.scale = 2

        def forward(self, x):
            return x

    for use in (
        lambda m: m(1), lambda m: list(m.parameters()), repr, lambda m: nn.Sequential(m)(1),
        lambda m: m.state_dict(), lambda m: m.eval(), lambda m: m.register_buffer("b", None),
    ):  # fmt: skip
        with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) first in Early"):
            use(Early())


def test_every_error_carries_the_path_of_its_layer():
    class Fails(nn.Module):
        def forward(self, error):
            raise error

    class Own(Exception):
        pass

    model = nn.Sequential(nn.Identity(), nn.Sequential(Fails()))
    for error in (KeyError("key"), AttributeError("mine"), Own(1, 2), ValueError()):
        args = error.args
        with pytest.raises(type(error)) as caught:
            model(error)
        assert caught.value.args == args
        assert caught.value.__notes__ == ["in module [1][0] (Fails)"]


def test_submodules_buffers_and_empty_parameters():
    for lib, n in BOTH:
        model = n.Sequential(n.Sequential(n.ReLU()))
        model.set_submodule("0.0", n.Tanh())
        model.set_submodule("0.1", n.Tanh())
        assert len(model[0]) == 2 and isinstance(model[0][0], n.Tanh)
        with pytest.raises(AttributeError):
            model.set_submodule("0.7", n.Tanh(), strict=True)
        with pytest.raises(AttributeError):
            model.set_submodule("0.training", n.Tanh())
        with pytest.raises(ValueError):
            model.set_submodule("", n.Tanh())
        with pytest.raises(ValueError):
            model.set_submodule("0", 3)
        assert model._get_name() == "Sequential"
        assert tuple(n.Parameter().shape) == (0,) and n.Parameter().requires_grad
        model.mean = n.Buffer(lib.zeros(2))
        model.cache = n.Buffer(lib.zeros(2), persistent=False)
        assert list(model.state_dict()) == ["mean"]
        assert [name for name, _ in model.named_buffers()] == ["mean", "cache"]
        assert model.double().mean.dtype is lib.float64


def test_containers_add_and_repeat():
    for lib, n in BOTH:
        a, b = n.Sequential(n.ReLU(), n.Tanh()), n.Sequential(n.GELU())
        names = [type(m).__name__ for m in a + b]
        assert names == ["ReLU", "Tanh", "GELU"] and type(a + b) is n.Sequential
        assert len(a * 2) == len(2 * a) == 4 and (a * 2)[0] is (a * 2)[2]
        a += b
        a *= 2
        assert [type(m).__name__ for m in a] == names * 2
        with pytest.raises(ValueError):
            a * 0
        with pytest.raises((TypeError, ValueError)):
            a + 3
        assert isinstance(n.ModuleList([a]) + [b], n.ModuleList)
        listed = n.ModuleList([a])
        listed += [b]
        assert listed[1] is b
        weights = n.ParameterList([lib.zeros(2, 3)])
        weights += [lib.zeros(1)]
        assert [tuple(w.shape) for w in weights] == [(2, 3), (1,)]
    with pytest.raises(TypeError, match=r"ReLU\(\)"):
        nn.Sequential(nn.ReLU)


def test_parameter_dict_is_a_dict():
    for lib, n in BOTH:
        table = n.ParameterDict([("a", lib.zeros(1)), ("b", lib.ones(1))])
        assert table.get("c") is None and table.get("a") is table["a"]
        assert list(table | n.ParameterDict({"c": lib.zeros(1)})) == ["a", "b", "c"]
        assert table.copy()["a"] is table["a"] and list(reversed(table)) == ["b", "a"]
        assert table.setdefault("c", lib.zeros(1)) is table["c"]
        assert table.popitem()[0] == "c" and table.pop("a").item() == 0 and list(table) == ["b"]
        assert dict(table.fromkeys(["x", "y"]).items()) == {"x": None, "y": None}
        table |= n.ParameterDict({"z": lib.zeros(1)})
        table.clear()
        assert len(table) == 0 and not list(table.parameters())


def test_repr_of_parameters_and_long_descriptions():
    for make in (
        lambda lib, n: n.ParameterList([lib.zeros(2, 3), lib.zeros(4)]),
        lambda lib, n: n.ParameterDict({"a": lib.zeros(2, 3), "b": lib.zeros(())}),
        lambda lib, n: n.ModuleDict({"only": n.ParameterList([lib.zeros(1)])}),
    ):
        ours, theirs = (repr(make(*libs)) for libs in BOTH)
        theirs = theirs.replace("torch.FloatTensor", "rubigo.nn.Parameter")
        assert ours == theirs.replace("torch.", "rubigo.")
    shown = []
    for _, n in BOTH:

        class Long(n.Module):
            def extra_repr(self):
                return "a=1\nb=2"

        shown.append(repr(Long()) + repr(n.Sequential(Long())))
    assert shown[0] == shown[1]


def test_values_do_not_depend_on_who_saves(tmp_path):
    model = nn.Sequential(counter(nn))
    model[0].count = 3
    rg.save(model.state_dict(), tmp_path / "state")
    other = nn.Sequential(counter(nn))
    other.load_state_dict(rg.load(tmp_path / "state"))
    assert other[0].count == 3
    assert np.array_equal(other[0].linear.weight.detach(), model[0].linear.weight.detach())


def test_messages_of_ones_own_layers_stay_whole():
    class Block(nn.Module):
        def forward(self, text):
            raise RuntimeError(text)

    for text in ("b: drive not ready", "block: the value: bad", ": colon"):
        with pytest.raises(RuntimeError, match=f"^Block: {text}$"):
            Block()(text)


@pytest.mark.parametrize("lib, n", BOTH)
def test_shared_modules_twice(lib, n):
    layer = n.Linear(1, 1)
    model = n.Sequential(layer, n.Sequential(layer))
    assert len(list(model.modules())) == 3
    assert len(list(model.modules(remove_duplicate=False))) == 4
    assert len(list(model.named_parameters(remove_duplicate=False))) == 4


@pytest.mark.parametrize("lib, n", BOTH)
def test_frozen_tables(lib, n):
    assert n.Embedding(2, 3, _freeze=True).weight.requires_grad is False
    rows = lib.ones(2, 3)
    table = n.Embedding(2, 3, None, None, 2.0, False, False, rows, True)
    assert table.weight.requires_grad is False and table.weight.data_ptr() == rows.data_ptr()
    assert n.Embedding.from_pretrained(rows).weight.requires_grad is False
    assert n.Embedding.from_pretrained(embeddings=rows, freeze=False).weight.requires_grad


@pytest.mark.parametrize("lib, n", BOTH)
def test_the_older_names_of_hardtanh(lib, n):
    with pytest.warns(FutureWarning, match="min_val"):
        layer = n.Hardtanh(min_value=-2.0)
    with pytest.warns(FutureWarning, match="max_val"):
        other = n.Hardtanh(max_value=3.0)
    assert (layer.min_val, layer.max_val, other.max_val) == (-2.0, 1.0, 3.0)
