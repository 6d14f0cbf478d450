"""Modules against PyTorch: values, gradients, state, and what a wrong use is told."""

import copy
import pickle

import numpy as np
import pytest

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")
F = torch.nn.functional


def array(t):
    return t.detach().cpu().numpy()


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def to_torch(module, twin):
    """Gives the torch twin the same parameters and buffers."""
    state = {name: torch.from_numpy(array(t).copy()) for name, t in module.state_dict().items()}
    twin.load_state_dict(state)


def compare(module, twin, inputs, device, tol=2e-5):
    """Outputs, gradients of inputs and parameters, and buffers afterwards."""
    module.to(device)
    to_torch(module, twin)
    ours = [rg.tensor(x, device=device) for x in inputs]
    theirs = [torch.from_numpy(x.copy()) for x in inputs]
    for a, b in zip(ours, theirs, strict=True):
        if b.is_floating_point():
            a.requires_grad_(True)
            b.requires_grad_(True)
    y, z = module(*ours), twin(*theirs)
    assert tuple(y.shape) == tuple(z.shape)
    np.testing.assert_allclose(array(y), array(z), rtol=tol, atol=tol)
    if z.requires_grad:
        g = data(*z.shape, seed=9)
        (y * rg.tensor(g, device=device)).sum().backward()
        (z * torch.from_numpy(g)).sum().backward()
        for a, b in zip(ours, theirs, strict=True):
            if b.requires_grad:
                np.testing.assert_allclose(array(a.grad), array(b.grad), rtol=5 * tol, atol=5 * tol)
        grads = dict(module.named_parameters())
        for name, p in twin.named_parameters():
            np.testing.assert_allclose(
                array(grads[name].grad), array(p.grad), rtol=1e-4, atol=1e-4, err_msg=name
            )
    for name, b in twin.named_buffers():
        np.testing.assert_allclose(array(module.get_buffer(name)), array(b), rtol=tol, atol=tol)


LAYERS = [
    ("Linear", (5, 3), {}, [(4, 5)]),
    ("Linear", (5, 3), {"bias": False}, [(2, 4, 5)]),
    ("Linear", (5, 3), {}, [(5,)]),
    ("Bilinear", (3, 4, 2), {}, [(5, 3), (5, 4)]),
    ("Identity", (), {}, [(2, 3)]),
    ("Flatten", (), {}, [(2, 3, 4)]),
    ("Flatten", (0, 1), {}, [(2, 3, 4)]),
    ("Unflatten", (1, (2, 3)), {}, [(4, 6, 2)]),
    ("PixelShuffle", (2,), {}, [(2, 8, 3, 2)]),
    ("PixelUnshuffle", (2,), {}, [(2, 3, 4, 6)]),
    ("LocalResponseNorm", (3, 0.1, 0.5, 2.0), {}, [(2, 5, 3, 2)]),
    ("Softmax2d", (), {}, [(2, 3, 2, 2)]),
    ("Softmax2d", (), {}, [(3, 2, 2)]),
    *[
        (f"{kind}{n}d", (width, *more), {}, [(2, 3, 5, 6)[: n + 2]])
        for kind, more in (
            ("ZeroPad", ()), ("ConstantPad", (3.5,)), ("ReflectionPad", ()),
            ("ReplicationPad", ()), ("CircularPad", ()),
        )
        for n, width in ((1, 2), (1, (1, 3)), (2, 1), (2, (1, 2, 3, 0)))
    ],
    ("CosineSimilarity", (), {}, [(4, 6), (4, 6)]),
    ("PairwiseDistance", (), {}, [(4, 6), (4, 6)]),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1}, [(2, 4, 9)]),
    ("Conv1d", (4, 6, 4), {"padding": "same", "dilation": 2}, [(2, 4, 9)]),
    ("Conv1d", (4, 6, 3), {"padding": 2, "padding_mode": "circular"}, [(2, 4, 9)]),
    ("Conv1d", (4, 6, 3), {}, [(4, 9)]),
    ("Conv2d", (4, 6, 3), {}, [(2, 4, 7, 8)]),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0)}, [(2, 4, 7, 8)]),
    ("Conv2d", (4, 6, 3), {"groups": 2, "dilation": 2, "bias": False}, [(2, 4, 7, 8)]),
    ("Conv2d", (4, 6, (3, 4)), {"padding": "same"}, [(2, 4, 7, 8)]),
    ("Conv2d", (4, 6, 3), {"padding": "valid"}, [(2, 4, 7, 8)]),
    ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "reflect"}, [(2, 4, 7, 8)]),
    ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "replicate"}, [(2, 4, 7, 8)]),
    ("Conv2d", (4, 6, 3), {"padding": 1}, [(4, 7, 8)]),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}, [(2, 4, 5)]),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, [(2, 4, 5, 4)]),
    ("ConvTranspose2d", (4, 6, 2), {"dilation": 2, "bias": False}, [(2, 4, 5, 4)]),
    ("MaxPool1d", (2,), {}, [(2, 3, 9)]),
    ("MaxPool2d", (3, 2), {"padding": 1, "ceil_mode": True}, [(2, 3, 8, 9)]),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1}, [(2, 3, 9)]),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, [(2, 3, 8, 9)]),
    ("AvgPool2d", ((2, 3),), {"divisor_override": 5}, [(2, 3, 8, 9)]),
    ("AdaptiveAvgPool1d", (4,), {}, [(2, 3, 9)]),
    ("AdaptiveAvgPool2d", ((3, None),), {}, [(2, 3, 8, 9)]),
    ("AdaptiveMaxPool1d", (4,), {}, [(2, 3, 9)]),
    ("AdaptiveMaxPool2d", ((3, 2),), {}, [(2, 3, 8, 9)]),
    ("BatchNorm1d", (3,), {}, [(6, 3)]),
    ("BatchNorm1d", (3,), {"momentum": None}, [(6, 3, 4)]),
    ("BatchNorm2d", (3,), {"affine": False}, [(4, 3, 5, 2)]),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, [(4, 3, 5, 2)]),
    ("InstanceNorm1d", (3,), {"affine": True}, [(2, 3, 7)]),
    ("InstanceNorm2d", (3,), {"track_running_stats": True}, [(2, 3, 4, 5)]),
    ("InstanceNorm2d", (3,), {}, [(3, 4, 5)]),
    ("GroupNorm", (2, 6), {}, [(3, 6, 4)]),
    ("LayerNorm", ((4, 5),), {}, [(3, 4, 5)]),
    ("LayerNorm", (5,), {"bias": False}, [(3, 4, 5)]),
    ("RMSNorm", (5,), {}, [(3, 5)]),
    ("CosineSimilarity", (-1, 0.5), {}, [(4, 6), (4, 6)]),
    *[
        ("PairwiseDistance", (p,), {"keepdim": True}, [(4, 6), (4, 6)])
        for p in (0.5, 1.0, 3.0, -1.0, float("inf"), float("-inf"))
    ],
    ("PReLU", (), {}, [(3, 4)]),
    ("PReLU", (4,), {}, [(3, 4, 2)]),
    ("GELU", (), {}, [(3, 40)]),
    ("GELU", ("tanh",), {}, [(3, 40)]),
    ("GLU", (1,), {}, [(3, 4, 2)]),
    ("Softmax", (1,), {}, [(3, 4)]),
    ("LogSoftmax", (-1,), {}, [(3, 4)]),
    ("Softmin", (0,), {}, [(3, 4)]),
    ("Threshold", (0.1, 20.0), {}, [(3, 40)]),
    ("LeakyReLU", (0.2,), {}, [(3, 40)]),
    ("Hardtanh", (-0.5, 0.7), {}, [(3, 40)]),
    ("Softplus", (2.0, 3.0), {}, [(3, 40)]),
    ("ELU", (1.5,), {}, [(3, 40)]),
    ("CELU", (1.5,), {}, [(3, 40)]),
    *[
        (name, (), {}, [(3, 40)])
        for name in (
            "ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardsigmoid", "Hardswish", "Sigmoid",
            "Tanh", "LogSigmoid", "Softsign", "Tanhshrink", "Hardshrink", "Softshrink",
        )
    ],
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding")
@pytest.mark.parametrize("name, args, kwargs, shapes", LAYERS)
def test_layer_equals_torch(name, args, kwargs, shapes, device):
    module = getattr(nn, name)(*args, **kwargs)
    twin = getattr(torch.nn, name)(*args, **kwargs)
    inputs = [data(*shape, seed=i) for i, shape in enumerate(shapes)]
    compare(module, twin, inputs, device)
    compare(module.eval(), twin.eval(), inputs, device)


@pytest.mark.parametrize("name, args, kwargs", [row[:3] for row in LAYERS])
def test_repr_equals_torch(name, args, kwargs):
    layer, twin = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(layer) == repr(twin)
    for attribute in ("kernel_size", "stride", "transposed", "output_padding", "padding"):
        assert getattr(layer, attribute, None) == getattr(twin, attribute, None)


def test_repr_of_containers_equals_torch():
    shown = []
    for lib in (nn, torch.nn):
        block = lib.Sequential(lib.Conv2d(1, 2, 3), lib.Sequential(lib.ReLU()))
        blocks = lib.ModuleList([block, lib.ReLU(), lib.ReLU(), lib.ModuleDict({"a": lib.Tanh()})])
        shown.append(repr(blocks))
    assert shown[0] == shown[1]


def test_sizes_may_be_short(device):
    x, w = data(1, 2, 5, 5), data(3, 2, 2, 2)
    for f in (
        lambda lib, x, w: lib.nn.functional.conv2d(x, w, stride=(2,), padding=[1]),
        lambda lib, x, w: lib.nn.functional.max_pool2d(x, 2, stride=[]),
        lambda lib, x, w: lib.nn.functional.avg_pool2d(x, (2,), stride=()),
    ):
        ours = f(rg, rg.tensor(x, device=device), rg.tensor(w, device=device))
        theirs = f(torch, torch.tensor(x), torch.tensor(w))
        np.testing.assert_allclose(array(ours), array(theirs), rtol=1e-4, atol=1e-5)


def test_instance_norm_without_parameters_takes_any_channels():
    x = data(2, 4, 5)
    results = []
    for lib in (rg, torch):
        with pytest.warns(UserWarning, match="num_features|3 channels"):
            results.append(array(lib.nn.InstanceNorm1d(3)(lib.tensor(x))))
        with pytest.raises(ValueError):
            lib.nn.InstanceNorm1d(3, affine=True)(lib.tensor(x))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def test_embedding(device):
    index = np.array([[1, 3], [0, 1]])
    for padding in (None, 1, -4):
        module, twin = nn.Embedding(5, 3, padding), torch.nn.Embedding(5, 3, padding)
        if padding is not None:
            assert array(module.weight)[padding].tolist() == [0.0, 0.0, 0.0]
        compare(module, twin, [index], device)
    frozen = nn.Embedding.from_pretrained(rg.ones(2, 3))
    assert not frozen.weight.requires_grad and (frozen.num_embeddings, frozen.embedding_dim) == (
        2,
        3,
    )


@pytest.mark.parametrize("kwargs", [
    {"max_norm": 1.0}, {"max_norm": 0.7, "norm_type": 1.0}, {"max_norm": 0.5, "norm_type": 3.0},
    {"scale_grad_by_freq": True}, {"scale_grad_by_freq": True, "padding_idx": 3, "max_norm": 2.0},
])  # fmt: skip
def test_embedding_limits_norms_and_gradients(kwargs, device):
    index = np.array([[1, 3, 3], [0, 1, 3]])
    module, twin = nn.Embedding(5, 3, **kwargs), torch.nn.Embedding(5, 3, **kwargs)
    compare(module, twin, [index], device)
    assert repr(module) == repr(twin)
    np.testing.assert_allclose(array(module.weight), array(twin.weight), rtol=1e-5)
    table = data(5, 3)
    ours = nn.Embedding.from_pretrained(rg.tensor(table), False, **kwargs)
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(table), False, **kwargs)
    compare(ours, theirs, [index], device)


def test_embedding_is_told_what_is_wrong():
    with pytest.raises(
        IndexError, match=r"Embedding: index 7 at \(1, 0\) is out of range \[0, 5\)"
    ):
        nn.Embedding(5, 3)(rg.tensor([[1, 2], [7, 0]]))
    with pytest.raises(IndexError, match=r"index 7 at \(0,\)"):
        nn.Embedding(5, 3, max_norm=1.0)(rg.tensor([7]))
    with pytest.raises(ValueError, match=r"\(5, 3\), got \(5, 4\)"):
        nn.Embedding(5, 3, _weight=rg.ones(5, 4))


def test_max_pool_indices_and_output_size(device):
    x = data(1, 2, 6, 6)
    y, index = nn.MaxPool2d(2, return_indices=True)(rg.tensor(x, device=device))
    z, expected = torch.nn.MaxPool2d(2, return_indices=True)(torch.from_numpy(x))
    assert array(index).tolist() == expected.tolist() and array(y).tolist() == z.tolist()
    up = nn.ConvTranspose2d(2, 3, 3, stride=2).to(device)
    x = rg.tensor(x, device=device)
    assert tuple(up(x, output_size=(14, 13)).shape) == (1, 3, 14, 13)
    with pytest.raises(ValueError, match="between"):
        up(x, output_size=(20, 20))


@pytest.mark.parametrize("name, shape, block", [
    ("Dropout", (200, 200), None),
    ("Dropout1d", (100, 100, 3), 1),
    ("Dropout2d", (50, 100, 2, 3), 2),
])  # fmt: skip
def test_dropout(name, shape, block, device):
    layer = getattr(nn, name)(0.25)
    rg.manual_seed(0)
    y = array(layer(rg.ones(*shape, device=device)))
    assert set(np.unique(y).round(5)) == {0.0, np.float32(4 / 3).round(5)}
    channels = y if block is None else y.reshape(*shape[:2], -1)
    if block is not None:
        assert (channels == channels[..., :1]).all(), "a channel lives or dies as a whole"
        channels = channels[..., 0]
    assert abs((channels == 0).mean() - 0.25) < 0.02
    assert array(layer.eval()(rg.ones(*shape, device=device))).min() == 1.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(nn, name)(1.5)


INPLACE = [
    ("relu", ()), ("leaky_relu", (0.2,)), ("elu", (1.5,)), ("selu", ()), ("celu", (1.5,)),
    ("relu6", ()), ("silu", ()), ("mish", ()), ("hardtanh", (-0.5, 0.7)), ("hardswish", ()),
    ("hardsigmoid", ()), ("threshold", (0.1, 20.0)), ("rrelu", (0.1, 0.3)),
    ("dropout", (0.5, False)), ("dropout", (1.0, True)), ("dropout2d", (1.0,)),
    ("alpha_dropout", (0.5,)), ("alpha_dropout", (1.0, True)),
    ("feature_alpha_dropout", (1.0, True)),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:dropout2d")
@pytest.mark.parametrize("name, args", INPLACE)
def test_in_place_functions_equal_torch(name, args, device):
    results = []
    for lib in (rg, torch):
        where = {"device": device} if lib is rg else {}
        f = getattr(lib.nn.functional, name)
        x = lib.tensor(data(2, 3, 4) * 3, **where).requires_grad_()
        h = x * 2
        y = f(h, *args, inplace=True)
        assert y is h
        (y * lib.tensor(data(2, 3, 4, seed=1), **where)).sum().backward()
        results.append((array(h), array(x.grad)))
        if hasattr(lib.nn.functional, name + "_"):
            h = x * 2
            assert getattr(lib.nn.functional, name + "_")(h, *args) is h
            np.testing.assert_array_equal(array(h), results[-1][0])
        if args not in ((0.5, False), (0.5,)):  # these write nothing
            with pytest.raises(RuntimeError, match="leaf"):
                f(x, *args, inplace=True)
    np.testing.assert_allclose(*(r[0] for r in results), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(*(r[1] for r in results), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name, args", [
    *[(n, ()) for n in (
        "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "SiLU", "Mish", "Hardtanh",
        "Hardswish", "Hardsigmoid", "RReLU", "Dropout", "Dropout1d", "Dropout2d", "AlphaDropout",
        "FeatureAlphaDropout",
    )],
    ("Threshold", (0.1, 20.0)),
])  # fmt: skip
def test_in_place_modules(name, args):
    layer, twin = (
        getattr(nn, name)(*args, inplace=True),
        getattr(torch.nn, name)(*args, inplace=True),
    )
    assert repr(layer) == repr(twin)
    x = rg.tensor(data(2, 3, 4))
    assert layer(x) is x
    for attribute in ("min_val", "max_val"):
        assert getattr(layer, attribute, None) == getattr(twin, attribute, None)


def test_feature_alpha_dropout_and_rrelu_draw(device):
    rg.manual_seed(0)
    y = array(nn.FeatureAlphaDropout(0.3)(rg.ones(100, 50, 4, device=device)))
    assert (y == y[..., :1]).all() and abs((y[..., 0] < 0).mean() - 0.3) < 0.02
    slopes = array(nn.RReLU(0.1, 0.3)(rg.full((100, 100), -1.0, device=device)))
    assert -0.3 <= slopes.min() < -0.29 and -0.11 < slopes.max() <= -0.1
    assert abs(slopes.mean() + 0.2) < 0.01
    assert array(nn.functional.gumbel_softmax(rg.zeros(2, 3), 1.0, True, 1e-10, 0)).sum() == 3


HALF = [300.0, 400.0, -500.0, 10.0]


def test_half_precision_does_not_overflow(device):
    for make in (
        lambda lib, x, y: lib.nn.functional.normalize(x),
        lambda lib, x, y: lib.nn.functional.normalize(x, p=3.0),
        lambda lib, x, y: lib.nn.functional.cosine_similarity(x, y),
        lambda lib, x, y: lib.nn.functional.pairwise_distance(x, y),
        lambda lib, x, y: lib.nn.functional.pairwise_distance(x, y, p=1.5),
        lambda lib, x, y: lib.nn.functional.rms_norm(x, (4,)),
    ):
        results = []
        for lib in (rg, torch):
            where = {"device": device} if lib is rg else {}
            x = lib.tensor([HALF], dtype=lib.float16, **where).requires_grad_()
            y = lib.tensor([HALF[::-1]], dtype=lib.float16, **where)
            out = make(lib, x, y)
            assert out.dtype is lib.float16
            out.sum().backward()
            results.append((array(out), array(x.grad)))
        np.testing.assert_allclose(results[0][0], results[1][0], rtol=2e-3)
        fine = np.isfinite(results[1][1])  # torch's own gradient overflows in places
        ours, theirs = results[0][1], results[1][1]
        np.testing.assert_allclose(ours[fine], theirs[fine], rtol=0.05, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")
def test_rms_norm_of_half_stays_half():
    shown = []
    for lib in (rg, torch):
        out = lib.nn.RMSNorm(4)(lib.tensor(HALF, dtype=lib.float16))
        assert out.dtype is lib.float16
        shown.append(out.tolist())
    np.testing.assert_allclose(*shown, rtol=2e-3)


def test_norms_have_no_nan_gradient_at_zero(device):
    for p in (0.5, 1.0, 2.0, 3.0, -1.0):
        grads = []
        for lib in (rg, torch):
            where = {"device": device} if lib is rg else {}
            x = lib.tensor([[0.0, -2, 3], [0, 0, 0]], **where).requires_grad_()
            lib.nn.functional.pairwise_distance(x, x.detach() * 0, p=p, eps=0.0).sum().backward()
            grads.append(array(x.grad))
        np.testing.assert_allclose(*grads, rtol=1e-5)
    with pytest.raises(TypeError, match=r"normalize[^\x00]*x\.float\(\)"):
        nn.functional.normalize(rg.tensor([[3, 4]]))


def test_alpha_dropout_keeps_mean_and_variance(device):
    rg.manual_seed(0)
    y = array(nn.AlphaDropout(0.3)(rg.tensor(data(400, 400), device=device)))
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02


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


def test_init_bounds():
    rg.manual_seed(0)
    w = rg.empty(64, 128)
    a = nn.init.xavier_uniform_(w, gain=2.0).abs().max().item()
    assert 0.98 < a / (2 * (6 / 192) ** 0.5) <= 1
    a = nn.init.kaiming_uniform_(w, nonlinearity="relu").abs().max().item()
    assert 0.98 < a / (6 / 128) ** 0.5 <= 1
    assert abs(nn.init.xavier_normal_(w).std().item() / (2 / 192) ** 0.5 - 1) < 0.05
    assert abs(nn.init.kaiming_normal_(w, mode="fan_out").std().item() / (2 / 64) ** 0.5 - 1) < 0.05
    t = array(nn.init.trunc_normal_(rg.empty(10000), std=2.0, a=-1.0, b=3.0))
    assert t.min() >= -1 and t.max() <= 3 and 0.6 < t.mean() < 0.9
    assert (array(nn.init.sparse_(w, 0.25)) == 0).sum(0).tolist() == [16] * 128
    assert array(nn.init.eye_(rg.empty(2, 3))).tolist() == [[1, 0, 0], [0, 1, 0]]
    for shape, groups in (((4, 2, 3), 2), ((3, 3, 3, 3), 1)):
        ours = nn.init.dirac_(rg.empty(*shape), groups)
        theirs = torch.nn.init.dirac_(torch.empty(*shape), groups)
        assert array(ours).tolist() == theirs.tolist()
    for shape in ((4, 6), (6, 4), (3, 2, 2), (8, 3, 3), (1, 5)):
        q = nn.init.orthogonal_(rg.empty(*shape), gain=2.0).reshape(shape[0], -1)
        q = q if q.shape[0] <= q.shape[1] else q.T
        np.testing.assert_allclose(array(q @ q.T), 4 * np.eye(q.shape[0]), atol=1e-5)
    # Uniform over all rotations: no entry has a preferred sign.
    entries = [array(nn.init.orthogonal_(rg.empty(3, 3)))[0, 0] for _ in range(200)]
    assert abs(np.mean(entries)) < 0.15 and abs(np.var(entries) - 1 / 3) < 0.1
    with pytest.raises(ValueError, match="2 or more"):
        nn.init.orthogonal_(rg.empty(3))
    for name in ("relu", "tanh", "selu", "sigmoid", "leaky_relu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    layer = nn.Linear(100, 50)
    for p in layer.parameters():
        assert 0.08 < p.abs().max().item() <= 0.1
    with pytest.raises(ValueError, match="2 or more dimensions"):
        nn.init.xavier_uniform_(rg.empty(3))


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize("mean, std, a, b", [
    (5.0, 0.5, -1.0, 1.0), (-5.0, 0.5, -1.0, 1.0), (3.0, 1.0, -1.0, 1.0), (20.0, 1.0, -1.0, 1.0),
    (0.0, 1.0, 2.5, 2.6), (1.0, 1.0, -2.0, 2.0), (0.0, 2.0, -0.1, 7.0),
])  # fmt: skip
def test_truncated_normal_equals_torch_in_distribution(mean, std, a, b, device):
    rg.manual_seed(0)
    torch.manual_seed(0)
    for dtype, tol in (("float32", 0.02), ("float16", 0.02)):
        ours = rg.empty(20000, dtype=getattr(rg, dtype), device=device)
        x = array(nn.init.trunc_normal_(ours, mean, std, a, b)).astype(np.float64)
        y = array(torch.nn.init.trunc_normal_(torch.empty(20000), mean, std, a, b))
        assert x.min() >= a - 2e-3 and x.max() <= b + 2e-3
        for q in (0.05, 0.25, 0.5, 0.75, 0.95):
            assert abs(np.quantile(x, q) - np.quantile(y, q)) < tol * (y.max() - y.min())


def test_clipping_equals_torch(device):
    grads = [data(3, 4), data(5, seed=1)]
    for norm, limit in ((2.0, 1.0), (1.0, 3.0), (float("inf"), 0.5), (2.0, 1e6)):
        ours = [nn.Parameter(rg.zeros(*g.shape, device=device)) for g in grads]
        theirs = [torch.nn.Parameter(torch.zeros(g.shape)) for g in grads]
        for p, q, g in zip(ours, theirs, grads, strict=True):
            p.grad, q.grad = rg.tensor(g, device=device), torch.from_numpy(g.copy())
        a = nn.utils.clip_grad_norm_(ours, limit, norm).item()
        b = torch.nn.utils.clip_grad_norm_(theirs, limit, norm).item()
        assert a == pytest.approx(b, rel=1e-5)
        nn.utils.clip_grad_value_(ours, 0.2)
        torch.nn.utils.clip_grad_value_(theirs, 0.2)
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(array(p.grad), array(q.grad), rtol=1e-5)
    for norm in (0.0, -1.0, 0.5, 3.0, float("-inf")):
        tensors = [np.array([3, 0, -1], np.float32), np.array([2], np.float32)]
        a = nn.utils.get_total_norm([rg.tensor(t, device=device) for t in tensors], norm)
        b = torch.nn.utils.get_total_norm([torch.tensor(t) for t in tensors], norm)
        assert a.item() == pytest.approx(b.item(), rel=1e-5)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    ours[0].grad = rg.full((3, 4), float("nan"), device=device)
    with pytest.raises(RuntimeError, match="cannot be clipped"):
        nn.utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)


def test_clipping_half_precision_equals_torch(device):
    results = []
    for lib in (rg, torch):
        where = {"device": device} if lib is rg else {}
        p = lib.nn.Parameter(lib.zeros(4, dtype=lib.float16, **where))
        p.grad = lib.tensor(HALF, dtype=lib.float16, **where)
        norm = lib.nn.utils.clip_grad_norm_([p], 1.0, foreach=False)
        assert norm.dtype is lib.float16
        lib.nn.utils.clip_grads_with_norm_([p], 1.0, lib.tensor(4.0))
        results.append([norm.item(), *p.grad.tolist()])
    np.testing.assert_allclose(*results, rtol=2e-3)


@pytest.mark.parametrize("make, message", [
    (lambda: nn.Linear(2.5, 1), "in_features must be an int"),
    (lambda: nn.Linear(0, 1), "at least 1"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "divisible by groups"),
    (lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2), "strided"),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size"),
    (lambda: nn.GroupNorm(2, 3), "divisible"),
    (lambda: nn.LayerNorm(()), "must not be empty"),
])  # fmt: skip
def test_constructors_refuse(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
