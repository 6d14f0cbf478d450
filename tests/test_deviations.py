"""Each line of docs/deviations.md, by the name that ends it."""

import pathlib
import pickle
import re
import warnings

import numpy as np
import pytest
from harness import leaf

import rubigo as rg
from rubigo import data, metrics, nn, optim

F = nn.functional
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "deviations.md"
NAN = float("nan")


def test_every_line_has_its_test_and_every_test_its_line():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("- ")]
    names = [re.search(r"\(`(\w+)`\)$", line) for line in lines]
    assert all(names), [line for line, name in zip(lines, names, strict=True) if not name]
    listed = [f"test_{name[1]}" for name in names]
    here = [n for n in globals() if n.startswith("test_") and not n.startswith("test_every_line")]
    assert sorted(listed) == sorted(here)


# Tensors.


def test_shapes_are_tuples():
    assert type(rg.ones(2, 3).shape) is tuple and not hasattr(rg, "Size")
    assert rg.ones(2, 3).shape + (1,) == (2, 3, 1)


def test_devices():
    assert rg.device("cpu") == "cpu" and rg.device("gpu").type == "gpu"
    with pytest.raises(ValueError, match="gpu"):
        rg.ones(1, device="cuda")


def test_type_names():
    assert repr(rg.float32) == rg.ones(1).type() == "rubigo.float32"


def test_lists_of_single_elements():
    assert rg.tensor([rg.tensor([7])]).shape == (1, 1)


def test_huge_integers():
    for call in (lambda: rg.tensor(2**63), lambda: rg.tensor([1]) + 2**63):
        with pytest.raises(OverflowError):
            call()
    assert (rg.tensor([1.0]) + 2**70).item() == 2.0**70
    assert rg.tensor(2**63, dtype=rg.uint64).item() == 2**63


def test_integers_out_of_range():
    for value in (-1, 256):
        with pytest.raises(OverflowError, match="uint8"):
            rg.tensor([value], dtype=rg.uint8)


def test_uint64_numbers():
    x = rg.zeros(2, dtype=rg.uint64)
    x[0] = 2**63
    assert (x >= 2**63).tolist() == [True, False] and (x + 2**63).tolist() == [0, 2**63]


def test_numbers_beyond_halves():
    x = rg.zeros(2, dtype=rg.float16)
    with pytest.raises(RuntimeError, match="without overflow"):
        x[0] = 2**31
    assert rg.where(x == 0, x, 2**31).tolist() == [0, 0]
    assert rg.where(x != 0, x, 2**31).isinf().all()


def test_arrays_without_a_view():
    a = np.arange(3.0)
    for array in (a[::-1], a.astype(">f8")):
        t = rg.from_numpy(array)
        assert t.tolist() == array.tolist()
        t.zero_()
    assert a.tolist() == [0, 1, 2]


def test_fewer_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        float(leaf(1.0) * 2)
        rg.tensor(rg.ones(2))
        assert rg.ones(1).var().isnan()


def test_read_only_arrays():
    a = np.zeros(2)
    a.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t = rg.from_numpy(a)
    t.fill_(1)
    assert a.tolist() == [0, 0]


def test_transposing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rg.ones(2, 3, 4).T.shape == (4, 3, 2) and rg.ones(2).T.shape == (2,)


def test_pickling_results():
    with pytest.raises(RuntimeError, match="detach"):
        pickle.dumps(leaf(1.0) * 2)


def test_expanded_memory():
    for write in (lambda x: x.zero_(), lambda x: x.fill_(1), lambda x: x.copy_(rg.ones(3))):
        with pytest.raises(RuntimeError, match="clone"):
            write(rg.ones(1).expand(3))


def test_overlap():
    x = rg.tensor([[1.0, 2.0, 3.0]])
    x.add_(x[:, :1])
    assert x.tolist() == [[2, 3, 4]]
    y = rg.tensor([1.0, 2.0, 3.0])
    y[1:].copy_(y[:-1])
    assert y.tolist() == [1, 1, 2]


# Operations.


def test_shape_error():
    with pytest.raises(rg.ShapeError):
        rg.ones(2) + rg.ones(3)
    assert issubclass(rg.ShapeError, ValueError) and issubclass(rg.ShapeError, RuntimeError)


def test_dtype_errors():
    t = rg.tensor([True])
    for call in (lambda: -t, lambda: t - t, lambda: ~rg.ones(1), lambda: rg.tensor([1]).add_(1.5)):
        with pytest.raises(TypeError):
            call()


def test_integer_division_by_zero():
    x = rg.tensor([5, -5])
    assert (x // 0).tolist() == (x % 0).tolist() == [0, 0]
    assert (x / 0).tolist() == [np.inf, -np.inf]


def test_bool_arithmetic():
    t = rg.tensor([True, False])
    assert (t - 3).tolist() == [-2, -3] and (3 - t).tolist() == [2, 3]
    assert (t // True).tolist() == [True, False] and (True**t).tolist() == [True, True]
    assert (rg.tensor([1.5]) - True).tolist() == [0.5]


def test_sign_of_nan():
    assert rg.tensor(NAN).sign().isnan().item()


def test_remainder_of_zero():
    x = rg.tensor([-4.0, 4.0])
    assert (x % 2).signbit().tolist() == [False, False]
    assert (x % -2).signbit().tolist() == [True, True]
    assert (-4.0) % 2.0 == 0.0 and str(4.0 % -2.0) == "-0.0"


def test_random_streams():
    rg.manual_seed(0)
    first = rg.rand(1000)
    threads = rg.get_num_threads()
    try:
        rg.set_num_threads(1)
        rg.manual_seed(0)
        assert rg.rand(1000).equal(first)
    finally:
        rg.set_num_threads(threads)


def test_bool_extremes():
    x = rg.tensor([True, False])
    assert x.abs().tolist() == [True, False] and x.argmin().item() == 1 and x.argmax().item() == 0
    assert F.relu(x).tolist() == [True, False]


def test_floats_only():
    x, image, kernel = rg.tensor([1, 9]), rg.ones(1, 1, 4, 4).long(), rg.ones(1, 1, 2, 2).long()
    for call in (
        lambda: F.relu6(x),
        lambda: F.hardtanh(x),
        lambda: F.threshold(x, 1, 0),
        lambda: F.max_pool2d(image, 2),
        lambda: F.avg_pool2d(image, 2),
        lambda: F.conv2d(image, kernel),
        lambda: F.conv_transpose2d(image, kernel),
    ):
        with pytest.raises(TypeError, match=r"x\.float\(\)"):
            call()


def test_activations_of_integers():
    x = rg.tensor([-3, 2])
    for function in (F.gelu, F.silu, F.mish, F.softplus, F.logsigmoid, F.glu):
        assert function(x).equal(function(x.float()))


def test_linear_bias():
    for shape in ((1,), (), (2, 4), (1, 4)):
        with pytest.raises(rg.ShapeError, match="bias"):
            F.linear(rg.ones(2, 3), rg.ones(4, 3), rg.ones(shape))


def test_activations_at_infinity():
    x = rg.tensor([float("inf"), -float("inf")], requires_grad=True)
    assert rg.nn.functional.gelu(x)[0].item() == float("inf")
    rg.nn.functional.softsign(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_tiny_angles():
    x = rg.tensor([1e-30, 0.0], requires_grad=True)
    y = rg.tensor([1e-30, 1e30], requires_grad=True)
    rg.atan2(x, y).sum().backward()
    assert x.grad.tolist() == pytest.approx([5e29, 1e-30], rel=1e-6)


# Indexing.


def test_indices_beside_nothing():
    with pytest.raises(IndexError, match="out of bounds"):
        rg.zeros(5, 0)[[7]]


def test_assignment_casts():
    x = rg.tensor([1, 2])
    x[rg.tensor([0])] = rg.tensor([2.7])
    x[1] = 3.9
    assert x.tolist() == [2, 3]


def test_failed_assignment():
    x = rg.ones(2, 2)
    with pytest.raises((IndexError, RuntimeError)):
        x[rg.tensor([0, 5])] = 7.0
    assert x.equal(rg.ones(2, 2))


def test_two_ellipses():
    with pytest.raises(IndexError, match="ellipsis"):
        rg.ones(2, 2)[..., 0, ...]


def test_lists_are_indices():
    x = rg.tensor([[1, 2], [3, 4]])
    assert x[[[0, 1], [1, 0]]].shape == (2, 2, 2)


# Autograd.


def test_in_place_keeps_results():
    x = leaf(0.5)
    y = x.tanh()
    z = (y * 1).sigmoid_()
    with rg.no_grad():
        z.mul_(2)
    z.sum().backward()
    s = 1 / (1 + np.exp(-np.tanh(0.5)))
    assert x.grad.item() == pytest.approx(s * (1 - s) * (1 - np.tanh(0.5) ** 2), rel=1e-5)


def test_views_of_several():
    x = leaf(1.0, 2.0)
    y = x * 1
    y.unbind()[0].mul_(10)
    y.sum().backward()
    assert x.grad.tolist() == [10, 1]


def test_inference_mode_is_no_grad():
    with rg.inference_mode():
        y = rg.ones(2) * 2
    x = leaf(1.0, 2.0)
    (x * y).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_results_are_contiguous():
    x = rg.ones(2, 3).t()
    assert all(y.is_contiguous() for y in (x + 1, x.clone(), x.double(), rg.zeros_like(x)))


def test_no_complex_numbers():
    with pytest.raises(TypeError):
        rg.tensor(1 + 2j)
    assert not hasattr(rg, "complex64")


def test_no_out():
    for bad in ({"out": rg.ones(1)}, {"memory_format": None}, {"layout": None}):
        with pytest.raises(TypeError):
            rg.add(rg.ones(1), rg.ones(1), **bad)


def test_numbers_as_operands():
    assert rg.maximum(rg.tensor([1.0, 3.0]), 2).tolist() == [2.0, 3.0]
    assert rg.ones(2).add(np.ones(2)).tolist() == [2.0, 2.0]
    x, array = rg.ones(2), np.ones(2, np.float32)
    assert rg.exp(0.0).item() == 1.0 and rg.add(array, x).equal(x + array)
    assert F.relu(array).equal(x) and rg.matmul(x, array).item() == 2.0
    layer = nn.Linear(2, 3)
    assert layer(array).equal(layer(x))
    refused = [
        *(lambda f=f: f([1.0, 2.0]) for f in (rg.exp, rg.sum, x.add, F.relu, layer, nn.Sigmoid())),
        *(lambda f=f: f([[1], [2]]) for f in (rg.cat, rg.stack)),
        *(lambda f=f: f([array, array]) for f in (rg.cat, rg.stack)),
        *(lambda f=f: f(x, array) for f in (F.mse_loss, F.l1_loss, rg.allclose, rg.equal)),
        lambda: x + [1.0, 2.0],
        lambda: F.layer_norm(array, (2,)),
    ]
    for call in refused:
        with pytest.raises(TypeError):
            call()


def test_uint8_logic():
    x = rg.tensor([0, 2], dtype=rg.uint8)
    assert x.any().dtype == x.all().dtype == rg.bool
    assert x.to(rg.uint64).sum().dtype == rg.uint64


def test_comparing_beyond_the_range():
    x = rg.tensor([1, 200], dtype=rg.uint8)
    assert (x > -1).all() and (x < 300).all() and not (x == 257).any()
    x = rg.tensor([100], dtype=rg.uint8)
    assert (x // -128).tolist() == [255] and (x % 300).tolist() == [100]


def test_square_of_bools():
    assert rg.tensor([True]).square().dtype is rg.bool


def test_new_objects():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.sum().backward()
    assert x.grad is not x.grad and y.grad_fn is not y.grad_fn
    assert x.grad.data_ptr() == x.grad.data_ptr()


def test_writes_through_data():
    w, x = leaf(1.0, 2.0), leaf(1.0, 2.0)
    loss = (w * x).sum()
    w.data.clamp_(-0.1, 0.1)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()


def test_gradients_of_extremes():
    x = leaf(0.0, -2.0)
    x.amax().sqrt().backward()
    assert x.grad.tolist() == [float("inf"), 0.0]
    y = leaf(1.0, NAN)
    y.amin().backward()
    assert y.grad.tolist() == [0.0, 1.0]


def test_saved_otherwise():
    for f in (rg.erfinv, lambda x: x**0.5):
        y = f(leaf(0.25, 0.5))
        y.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
    for f in (F.tanhshrink, lambda x: F.cross_entropy(x, rg.tensor(1))):
        x = leaf(0.25, 0.5) * 1
        y = f(x)
        x.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_gradcheck_options():
    x = rg.tensor([1.0], dtype=rg.float64, requires_grad=True)
    for option in ("check_batched_grad", "check_batched_forward_grad", "check_forward_ad"):
        with pytest.raises(NotImplementedError, match=option):
            rg.autograd.gradcheck(rg.exp, x, **{option: True})
    for option in ("check_batched_grad", "check_fwd_over_rev"):
        with pytest.raises(NotImplementedError, match=option):
            rg.autograd.gradgradcheck(rg.exp, x, **{option: True})


def test_products_of_zero_and_infinity():
    x = rg.tensor([1.0, 0.0, float("inf"), 2.0], requires_grad=True)
    x.prod().backward()
    assert x.grad.tolist() == [0.0, float("inf"), 0.0, 0.0]
    x.grad = None
    x.cumprod(0).sum().backward()
    assert np.isnan(x.grad[0].item()) and x.grad[1].item() == float("inf")


def test_gradients_outside_the_domain():
    x = rg.tensor([1.0, 2.0], requires_grad=True)
    x.var(correction=2).backward()
    assert x.grad.tolist() == [-float("inf"), float("inf")]
    (g,) = rg.autograd.grad(rg.logit(x).sum(), x, create_graph=True)
    (h,) = rg.autograd.grad(g.sum(), x)
    assert g.isnan()[1] and h.isnan()[1]


def test_norm_of_one_element():
    assert rg.tensor([1e30]).norm().item() == float("inf")
    assert rg.tensor([1e30], dtype=rg.float64).norm().item() == 1e30


def test_hooks_cast():
    x = leaf(1.0)
    x.register_hook(lambda g: g.double())
    x.sum().backward()
    assert x.grad.dtype is rg.float32


def test_graphs_are_freed():
    y = leaf(1.0, 2.0).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()


def test_data_drops_gradients():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.data = rg.zeros(2)
    assert x.grad is not None
    x.data = rg.zeros(3)
    assert x.grad is None


def test_grad_fn_names():
    assert repr((leaf(1.0) * 2).grad_fn) == "<MulBackward>"


def test_batched_grads():
    x = leaf(1.0)
    with pytest.raises(NotImplementedError, match="vector"):
        rg.autograd.grad(x * 2, x, rg.ones(3, 1), is_grads_batched=True)


def test_saved_outputs():
    class Exp(rg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    x = leaf(1.0)
    y = Exp.apply(x)
    (g,) = rg.autograd.grad(y, x, rg.ones(1), create_graph=True)
    assert rg.autograd.grad(g, x, rg.ones(1))[0].item() == pytest.approx(np.e)
    z = Exp.apply(x) * 1
    with pytest.raises(RuntimeError, match="saved output is gone"):
        rg.autograd.grad(z, x, rg.ones(1), create_graph=True)


def test_piecewise_gradients():
    x = rg.tensor([-1.0, 0.5], requires_grad=True)
    (g,) = rg.autograd.grad(x.clamp(0, 1).sum(), x, create_graph=True)
    (h,) = rg.autograd.grad(g.sum(), x)
    assert g.tolist() == [0.0, 1.0] and h.tolist() == [0.0, 0.0]


# Modules, losses, optimizers.


def test_softmax_requires_dim():
    for make in (nn.Softmax, nn.LogSoftmax, nn.Softmin):
        with pytest.raises(TypeError, match="dim"):
            make()
    for function in (F.softmax, F.log_softmax):
        with pytest.raises(TypeError, match="dim"):
            function(rg.ones(2))


def test_sparse_embedding():
    with pytest.raises(NotImplementedError, match="sparse"):
        nn.Embedding(3, 2, sparse=True)


def test_trunc_normal_far():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = nn.init.trunc_normal_(rg.empty(1000), 30.0, 1.0, -1.0, 1.0)
    assert 0.95 < x.mean().item() < 0.98  # 1 - 1 / 29


def test_sizes_of_zero():
    with pytest.raises(ValueError, match="at least 1"):
        nn.Linear(0, 2)


def test_losses_need_equal_shapes():
    with pytest.raises(rg.ShapeError):
        F.mse_loss(rg.ones(8, 1), rg.ones(8))
    assert F.mse_loss(rg.ones(8, 1), rg.tensor(0.0)).item() == 1


def test_bce_check(device):
    x = rg.tensor([1.5], device=device)
    if device == "cpu":
        with pytest.raises((ValueError, RuntimeError), match=r"between 0 and 1|0, 1"):
            F.binary_cross_entropy(x, rg.ones(1))
        with pytest.raises(RuntimeError, match="target should be between 0 and 1"):
            F.binary_cross_entropy(rg.ones(1), x)
    else:
        F.binary_cross_entropy(x, x)


def test_no_size_average():
    for more in ({"size_average": True}, {"reduce": True}):
        with pytest.raises(TypeError):
            nn.MSELoss(**more)


def test_transposed_padding():
    with pytest.raises((ValueError, TypeError), match="same"):
        nn.ConvTranspose2d(1, 1, 3, padding="same")


def test_load_state_dict_is_whole():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = {k: rg.ones(v.shape) for k, v in before.items()}
    with pytest.raises(RuntimeError):
        model.load_state_dict({**state, "1.bias": rg.ones(7)})
    assert all(v.equal(before[k]) for k, v in model.state_dict().items())


def test_state_dict_versions():
    seen = []

    class Old(nn.Module):
        _version = 3

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
            seen.append(local_metadata.get("version"))

    model = Old()
    state = model.state_dict()
    assert type(state) is dict
    model.load_state_dict(state)
    assert seen == [None]
    norm = nn.BatchNorm1d(2)
    norm.load_state_dict({k: v for k, v in norm.state_dict().items() if "batches" not in k})


def test_parameter_containers():
    for make in (lambda: nn.ParameterList([3]), lambda: nn.ParameterDict({"a": "text"})):
        with pytest.raises(TypeError, match="expected a Tensor"):
            make()


def test_share_memory():
    with pytest.raises(NotImplementedError, match="processes"):
        nn.Linear(1, 1).share_memory()


def test_module_dicts():
    layer = nn.Linear(2, 2)
    for mapping in (layer._parameters, layer._buffers, layer._modules):
        with pytest.raises(TypeError):
            mapping["extra"] = None


def test_no_foreach():
    for make in (optim.SGD, optim.Adam):
        for name in ("foreach", "fused", "capturable", "differentiable"):
            with pytest.raises(TypeError, match=name):
                make([leaf(1.0)], lr=0.1, **{name: True})


def test_optimizer_steps():
    w = leaf(1.0)
    optimizer = optim.Adam([w])
    w.grad = rg.ones(1)
    optimizer.step()
    assert type(optimizer.state[w]["step"]) is int


def test_nested_schedules():
    s = optim.lr_scheduler

    def rates(make):
        optimizer = optim.SGD([leaf(1.0)], lr=1.0)
        schedule, seen = make(optimizer), []
        for _ in range(9):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return seen

    def three(o):
        return s.LinearLR(o, 0.1, total_iters=3), s.ExponentialLR(o, 0.9), s.ExponentialLR(o, 0.5)

    flat = rates(lambda o: s.SequentialLR(o, list(three(o)), [3, 6]))

    def inner_first(o):
        a, b, c = three(o)
        return s.SequentialLR(o, [s.SequentialLR(o, [a, b], [3]), c], [6])

    def inner_last(o):
        a, b, c = three(o)
        return s.SequentialLR(o, [a, s.SequentialLR(o, [b, c], [3])], [3])

    assert rates(inner_first) == pytest.approx(flat) and rates(inner_last) == pytest.approx(flat)

    def chained(o):
        both = s.ChainedScheduler([s.ExponentialLR(o, 0.9), s.ExponentialLR(o, 0.5)])
        return s.SequentialLR(o, [s.ConstantLR(o, 1.0), both], [2])

    assert rates(chained)[:5] == pytest.approx([1, 1, 1, 0.45, 0.45**2])


def test_warm_restarts_resumed():
    def schedule(last_epoch):
        optimizer = optim.SGD([leaf(1.0)], lr=1.0)
        optimizer.param_groups[0]["initial_lr"] = 1.0
        optimizer.step()
        return optim.lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, 3, 2, last_epoch=last_epoch
        )

    counted = schedule(-1)
    for last in range(12):
        counted.step()
        assert schedule(last).get_last_lr() == counted.get_last_lr()
    assert schedule(5).get_last_lr() == [0.5]  # epoch 6 is the middle of 3..8


def test_scheduler_epochs():
    optimizer = optim.SGD([leaf(1.0)], lr=1.0)
    with pytest.raises(TypeError):
        optim.lr_scheduler.StepLR(optimizer, 1).step(3)
    optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10).step(2.5)


# Data and files.


def test_loader_epochs():
    def epochs(loader, count):
        return [[b.tolist() for b in loader] for _ in range(count)]

    def make():
        generator = rg.Generator()
        generator.manual_seed(3)
        return data.DataLoader(list(range(10)), batch_size=5, shuffle=True, generator=generator)

    first, second = epochs(make(), 2)
    assert first != second
    again = make()
    again.set_epoch(1)
    assert epochs(again, 1) == [second]


def test_loader_arguments():
    accepted = {
        "persistent_workers": True,
        "pin_memory": True,
        "pin_memory_device": "cuda",
        "in_order": False,
        "worker_init_fn": None,
        "multiprocessing_context": None,
    }
    loader = data.DataLoader([1, 2], num_workers=1, **accepted)
    assert [b.tolist() for b in loader] == [[1], [2]]
    for name, value in (("worker_init_fn", print), ("multiprocessing_context", "spawn")):
        with pytest.raises(ValueError):
            data.DataLoader([1, 2], num_workers=1, **{name: value})
    loader = data.DataLoader([lambda: 1, lambda: 2], collate_fn=lambda b: b[0](), num_workers=2)
    assert list(loader) == [1, 2]


def test_subset_indices():
    assert data.Subset("abc", rg.tensor([2, 0])).indices == [2, 0]
    with pytest.raises(TypeError, match="got a mask"):
        data.Subset("abc", [True, False, True])


def test_stop_iteration_in_a_dataset():
    class Exhausted(data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return next(iter([]))

    for workers in (0, 2):
        with pytest.raises(RuntimeError, match="sample 0 of Exhausted raised StopIteration"):
            list(data.DataLoader(Exhausted(), num_workers=workers))


def test_sampler_weights():
    with pytest.raises(RuntimeError, match="the sum of the weights is 0"):
        data.WeightedRandomSampler([0.0, 0.0], 1)
    with pytest.raises(ValueError, match=r"weight 1 is -1\.0"):
        data.WeightedRandomSampler([1.0, -1.0], 1)
    with pytest.raises(ValueError, match="2 different samples from 1 positive weights"):
        data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False)


def test_random_samples():
    class Noisy(data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return rg.rand(())

    def epoch(workers):
        seed = rg.Generator().manual_seed(0)
        return [
            b.tolist() for b in data.DataLoader(Noisy(), 2, num_workers=workers, generator=seed)
        ]

    before = rg.get_rng_state().tolist()
    assert epoch(0) == epoch(1) == epoch(3)
    assert rg.get_rng_state().tolist() == before


def test_no_iterable_dataset():
    assert not hasattr(data, "IterableDataset")


def test_files(tmp_path):
    with pytest.raises(TypeError, match="cannot save"):
        rg.save({"f": print}, tmp_path / "x")
    with open(tmp_path / "f", "wb") as f, pytest.raises(TypeError, match="path"):
        rg.save({}, f)
    (tmp_path / "pickle").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError):
        rg.load(tmp_path / "pickle", weights_only=False)
    for options in ({"map_location": {"cuda": "cpu"}}, {"pickle_module": pickle}):
        with pytest.raises(TypeError):
            rg.load(tmp_path / "x", **options)


def test_tensors_from_elsewhere():
    class Lent:
        def __dlpack__(self, **options):
            return np.ones(2, np.float32).__dlpack__(**options)

    norm = nn.LayerNorm(2, bias=False)
    for value in (np.zeros(2), Lent()):
        norm.load_state_dict({"weight": value})
        assert norm.weight.tolist() == [float(isinstance(value, Lent))] * 2
    assert data.default_collate([Lent(), Lent()]).equal(rg.ones(2, 2))
    assert data.default_convert(Lent()).equal(rg.ones(2))


# Metrics.


def test_metric_arguments():
    assert metrics.recall([1, 1, 0], [1, 0, 0], average="binary") == 1.0
    assert metrics.precision([1, 1, 0], [1, 0, 0], average="binary") == 0.5


def test_metric_averages():
    preds, target = [0, 1, 1, 1], [0, 1, 1, 0]
    each = metrics.recall(preds, target, average=None).tolist()
    assert metrics.recall(preds, target) == sum(each) / 2 != each[1]
    assert metrics.recall(preds, target, average="binary") == each[1]


def test_metric_labels():
    with pytest.raises(ValueError, match="0 or more"):
        metrics.accuracy([1, -1], [1, -1])
    for function in (metrics.roc_auc, metrics.log_loss, metrics.cohen_kappa, metrics.mse):
        with pytest.raises(TypeError, match="sample_weight"):
            function([0.5, 0.6], [0, 1], sample_weight=[1, 1])
    for metric in (metrics.ROCAUC(), metrics.LogLoss(), metrics.CohenKappa(num_classes=2)):
        with pytest.raises(TypeError, match="sample_weight"):
            metric.update([0.5, 0.6], [0, 1], sample_weight=[1, 1])
    metrics.F1Score(num_classes=2).update([0, 1], [0, 1], sample_weight=[1, 1])


def test_metric_ties():
    tied = [[0.5, 0.5, 0.5]] * 3
    assert metrics.top_k_accuracy(tied, [0, 1, 2], k=2) == pytest.approx(2 / 3)
    assert metrics.top_k_accuracy(tied, [0, 1, 1], k=2) == 1.0


def test_metric_zero_division():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.precision([0, 0], [1, 1], average="binary") == 0.0


def test_metric_curves():
    preds, target = [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1]
    assert len(metrics.roc_curve(preds, target)[2]) == 5
    with pytest.raises(ValueError, match="both classes"):
        metrics.roc_curve([0.5, 0.6], [1, 1])
    with pytest.raises(ValueError, match="class 1"):
        metrics.precision_recall_curve([0.5, 0.6], [0, 0])
