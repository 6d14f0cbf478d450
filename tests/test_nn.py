"""Layers and functions of `nn` against PyTorch: values, gradients, texts, and wrong uses."""

import numpy as np
import pytest
from twins import array, data

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")


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


def test_alpha_dropout_keeps_mean_and_variance(device):
    rg.manual_seed(0)
    y = array(nn.AlphaDropout(0.3)(rg.tensor(data(400, 400), device=device)))
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02


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
