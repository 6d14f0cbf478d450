"""What a PyTorch user types, one case each, run in both libraries."""

import pickle

import numpy as np
import pytest

import rubigo as rg

torch = pytest.importorskip("torch")
BOTH = pytest.mark.parametrize("lib", [rg, torch], ids=["rubigo", "torch"])


@BOTH
def test_hooks_of_a_leaf_see_the_whole_gradient(lib):
    x = lib.ones(1, requires_grad=True)
    x.register_hook(lambda g: g.clamp(max=1.0))
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x + x * 2).sum().backward()
    assert x.grad.tolist() == [1.0] and seen == [[1.0]]
    y = lib.ones(1, requires_grad=True)
    y.register_hook(lambda g: g.clamp(max=1.0))
    (g,) = lib.autograd.grad((y * y).sum(), y)
    assert g.tolist() == [1.0]


@BOTH
def test_backward_into_one_tensor(lib):
    for inputs in (lambda x: x, lambda x: [x], lambda x: (x,)):
        x = lib.ones(2, requires_grad=True)
        w = lib.ones(2, requires_grad=True)
        (x * w * 3).sum().backward(inputs=inputs(x))
        assert x.grad.tolist() == [3.0, 3.0] and w.grad is None
    with pytest.raises(RuntimeError, match="empty"):
        (x * 2).sum().backward(inputs=[])


@BOTH
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
def test_gradients_of_a_graph_that_is_kept_can_be_written(lib):
    x = lib.ones(3, requires_grad=True)
    x.sum().backward(create_graph=True)
    x.grad.zero_()
    assert x.grad.tolist() == [0.0] * 3


@BOTH
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_numpy_on_the_left(lib):
    x = lib.ones(2, requires_grad=True)
    y = np.sqrt(4.0) * x
    assert isinstance(y, lib.Tensor) and y.requires_grad and y.tolist() == [2.0, 2.0]
    one = lib.ones(2)
    for made in (np.float64(2) + one, np.int64(2) - one, np.float32(2) ** one):
        assert isinstance(made, lib.Tensor) and made.dtype == lib.float32
    assert isinstance(np.sin(lib.ones(2)), lib.Tensor)
    assert lib.arange(np.int64(3)).dtype == lib.full((2,), np.int64(3)).dtype == lib.int64


@BOTH
def test_python_types_as_dtypes(lib):
    assert lib.zeros(2, dtype=float).dtype == lib.ones(2).to(float).dtype == lib.float64
    assert lib.zeros(2, dtype=int).dtype == lib.int64 and lib.zeros(2, dtype=bool).dtype == lib.bool


@BOTH
def test_shifts_in_place(lib):
    x = lib.tensor([5, -5])
    y = x
    x <<= 1
    assert y.tolist() == [10, -10]
    x >>= 1
    assert y.tolist() == [5, -5]


@BOTH
def test_the_tensor_class(lib):
    assert lib.Tensor([1, 2]).dtype == lib.float32
    assert tuple(lib.Tensor(3).shape) == (3,) and tuple(lib.Tensor(2, 3).shape) == (2, 3)
    assert tuple(lib.Tensor().shape) == (0,)


@BOTH
def test_functions_with_defaults_and_other_results(lib):
    class Scale(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y=None, k=2):
            ctx.k = k
            return x * k, 5, None, "a"

        @staticmethod
        def backward(ctx, g, *rest):
            assert rest == (None, None, None)
            return g * ctx.k, None, None

    x = lib.ones(2, requires_grad=True)
    y, *rest = Scale.apply(x)
    assert rest == [5, None, "a"]
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


@BOTH
def test_tuples_and_ranges_in_keys(lib):
    x = lib.arange(12).reshape(3, 4)
    assert x[(0, 1), (1, 2)].tolist() == [1, 6]
    assert x[:, (0, 1)].tolist() == [[0, 1], [4, 5], [8, 9]]
    assert x[range(2)].tolist() == x[:2].tolist()
    x[(0, 1),] = 7
    assert x[:2].unique().tolist() == [7]


@BOTH
@pytest.mark.parametrize("values", [[2.0, 0.0, 3.0], [2.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("op", ["prod", "cumprod"])
def test_second_derivatives_of_products(lib, values, op):
    want = {
        ("prod", 0): [3.0, 5.0, 2.0], ("prod", 1): [0.0, 2.0, 2.0],
        ("cumprod", 0): [4.0, 6.0, 2.0],
    }  # fmt: skip
    x = lib.tensor(values, dtype=lib.float64, requires_grad=True)
    y = x.prod() if op == "prod" else x.cumprod(0).sum()
    (g,) = lib.autograd.grad(y, x, create_graph=True)
    (h,) = lib.autograd.grad(g.sum(), x)
    case = (op, [[2.0, 0.0, 3.0], [2.0, 0.0, 0.0], [1.0, 2.0, 3.0]].index(values))
    if case in want:
        assert h.tolist() == want[case]
    else:
        reference = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        z = reference.prod() if op == "prod" else reference.cumprod(0).sum()
        (a,) = torch.autograd.grad(z, reference, create_graph=True)
        assert h.tolist() == torch.autograd.grad(a.sum(), reference)[0].tolist()


@BOTH
def test_means_of_half_numbers(lib):
    x = lib.full((300,), 300.0, dtype=lib.float16)
    assert x.mean().item() == x.mean(0).item() == 300.0
    assert lib.nn.functional.mse_loss(x / 10, lib.zeros(300, dtype=lib.float16)).item() == 900.0


@BOTH
def test_results_with_names(lib):
    x = lib.tensor([[3.0, 1.0, 2.0]])
    assert x.sort().values.tolist() == [[1.0, 2.0, 3.0]] and x.topk(1).indices.tolist() == [[0]]
    for name, args in (
        ("kthvalue", (1,)), ("median", (1,)), ("mode", ()), ("cummax", (1,)), ("cummin", (1,)),
    ):  # fmt: skip
        found = getattr(x, name)(*args)
        values, indices = found
        assert found.values is values and found.indices is indices


def test_named_results_are_pickled_and_print():
    found = rg.tensor([2.0, 1.0]).sort()
    again = pickle.loads(pickle.dumps(found))
    assert again.values.tolist() == [1.0, 2.0] and type(again) is type(found)
    assert repr(found).startswith("sort(\nvalues=tensor([1., 2.])")


@BOTH
def test_small_things(lib):
    assert [t.tolist() for t in lib.tensor(1).nonzero(as_tuple=True)] == [[0]]
    assert [t.tolist() for t in lib.where(lib.tensor(True))] == [[0]]
    assert lib.var_mean(lib.ones(2, 3), False)[1].ndim == 0
    assert lib.logsumexp(lib.ones(0, 3), 0).tolist() == [-float("inf")] * 3
    x, y = lib.zeros(1, requires_grad=True), lib.zeros(1, requires_grad=True)
    lib.atan2(x, y).backward()
    assert x.grad.item() == y.grad.item() == 0.0
    assert not lib.ones(1).is_cuda and lib.ones(1).is_cpu and lib.ones(2, 2).ndimension() == 2


@BOTH
def test_other_names(lib):
    x = lib.tensor([[1.5, -2.5]])
    assert lib.clip(x, -1, 1).tolist() == x.clip(-1, 1).tolist() == [[1.0, -1.0]]
    assert lib.multiply(x, 2).tolist() == x.multiply(2).tolist() == [[3.0, -5.0]]
    assert tuple(x.swapaxes(0, 1).shape) == tuple(lib.moveaxis(x, 0, 1).shape) == (2, 1)
    assert lib.greater(x, 0).tolist() == x.less(0).logical_not().tolist()
    assert lib.conv1d(lib.ones(1, 1, 3), lib.ones(1, 1, 2)).tolist() == [[[2.0, 2.0]]]
    assert lib.layer_norm(lib.ones(1, 2), (2,)).tolist() == [[0.0, 0.0]]


@BOTH
def test_backward_into_one_tensor_runs_its_hooks(lib):
    x = lib.ones(2, requires_grad=True)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 3).sum().backward(inputs=[x])
    assert seen == [[3.0, 3.0]]


@BOTH
def test_lists_of_typed_elements(lib):
    """Tensors, arrays and numpy's scalars in a list bring their dtype along."""
    short, half = lib.tensor(1, dtype=lib.int8), lib.tensor(1.0, dtype=lib.float16)
    assert lib.tensor([short, short]).dtype == lib.tensor([[np.int8(1)]]).dtype == lib.int8
    assert lib.tensor([short, lib.tensor(1, dtype=lib.int16)]).dtype == lib.int16
    assert lib.tensor([half, 1, True, short]).dtype == lib.float16
    assert lib.tensor([np.float64(1)]).dtype == lib.tensor([[1.0], [np.float64(2)]]).dtype
    assert lib.tensor([np.float64(1)]).dtype == lib.float64
    assert lib.tensor([np.float32(1.5), 2]).tolist() == [1.5, 2.0]
    assert lib.tensor([np.uint64(3), np.uint64(4)], dtype=lib.int32).tolist() == [3, 4]
    assert lib.tensor([[np.bool_(True)], [np.bool_(False)]]).tolist() == [[True], [False]]
    with pytest.raises((ValueError, TypeError)):
        lib.tensor([[np.float32(1)], np.float32(2)])
    assert lib.tensor([1, 2.0]).dtype == lib.float32 and lib.tensor([True, 2]).dtype == lib.int64


@BOTH
@pytest.mark.parametrize("value", [2**70, 3.5, True])
def test_tensor_takes_sizes_or_sequences(lib, value):
    assert lib.Tensor(3).shape == (3,) and lib.Tensor([3]).tolist() == [3.0]
    with pytest.raises((TypeError, OverflowError)):
        lib.Tensor(value)


@BOTH
def test_steps_beyond_all_elements(lib):
    x = lib.ones(5, requires_grad=True)
    (x[:: 2**61].sum() + x.unfold(0, 2, 2**60).sum()).backward()
    assert x.grad.tolist() == [2.0, 1.0, 0.0, 0.0, 0.0]
    assert x.detach()[:: 2**59].numpy().tolist() == [1.0]


@BOTH
def test_halves_are_rounded_from_float64(lib):
    """By way of float32, at any conversion: next to ties this differs from one rounding."""
    values = [1 + 2.0**-8 + 2.0**-22, 1 + 2.0**-8 + 2.0**-30, 1 + 2.0**-11 + 2.0**-40, 65519.99]
    x = lib.tensor(values, dtype=lib.float64)
    assert x.to(lib.bfloat16).float().tolist()[:2] == [1.0078125, 1.0]
    assert x.to(lib.float16).float().tolist()[2:] == [1.0, 65504.0]
    assert lib.full((1,), values[0], dtype=lib.bfloat16).item() == 1.0078125
    assert lib.zeros(1, dtype=lib.bfloat16).fill_(values[0]).item() == 1.0078125


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_default_epsilon_of_rms_norm(lib, dtype):
    """That of float32 for half types, which are computed in it."""
    values = [1e-4, 2e-4, -3e-4, 1e-3]
    x = np.array(values)
    eps = np.finfo("float64" if dtype == "float64" else "float32").eps
    got = lib.nn.functional.rms_norm(lib.tensor(values, dtype=getattr(lib, dtype)), (4,))
    want = x / np.sqrt((x * x).mean() + eps)
    assert np.allclose(got.float().numpy(), want, rtol=2e-2 if "16" in dtype else 1e-5)


@BOTH
def test_circular_padding_goes_around_in_what_is_left(lib):
    x = lib.arange(5.0)[None]
    pad = lib.nn.functional.pad
    assert pad(x, (-1, 2), mode="circular").tolist() == [[1, 2, 3, 4, 1, 2]]
    assert pad(x, (3, -2), mode="circular").tolist() == [[0, 1, 2, 0, 1, 2]]
    with pytest.raises(RuntimeError):
        pad(x, (4, -2), mode="circular")


@BOTH
def test_sizes_that_cannot_be_inferred(lib):
    for reshape in (lib.ones(6).view, lib.ones(6).reshape):
        with pytest.raises(RuntimeError, match="only one dimension can be inferred"):
            reshape(-1, -1)
    assert [p.shape[0] for p in lib.arange(5).split(split_size=2)] == [2, 2, 1]


@BOTH
def test_ranges_that_leave_int64(lib):
    assert lib.arange(2**63 - 3, 2**63 - 1).tolist() == [2**63 - 3, 2**63 - 2]
    for bounds in ((2**63 - 2, 2**63 + 2), (2**63, 2**63 + 2)):
        with pytest.raises((RuntimeError, OverflowError)):
            lib.arange(*bounds)


@BOTH
def test_lerp_ends_at_its_end(lib):
    end = lib.tensor([1.0, 3.0])
    assert lib.lerp(lib.tensor([1e8, 1e8]), end, 1.0).tolist() == [1.0, 3.0]
    assert lib.lerp(lib.tensor([1e8, 1e8]), end, lib.tensor([1.0, 1.0])).tolist() == [1.0, 3.0]
    assert lib.lerp(lib.tensor(float("inf")), lib.tensor(1.0), 0.5).item() == float("inf")


@BOTH
def test_cosine_similarity_broadcasts(lib):
    column, row = lib.tensor([[1.0], [2.0]]), lib.tensor([1.0, 2.0, 3.0])
    for other in (row, row[None]):
        got = lib.nn.functional.cosine_similarity(column, other, dim=1)
        assert np.allclose(got.numpy(), [6 / 42**0.5] * 2)


@BOTH
def test_kept_gradients_are_of_the_newest_value(lib):
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    y.retain_grad()
    y.mul_(3)
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [6.0, 12.0]
    z = x * 1
    z.retain_grad()
    z[0] = 5.0
    (z * z).sum().backward()
    assert z.grad.tolist() == [10.0, 4.0]
    base = x * 1
    view = base[:1]
    base.retain_grad()
    view.mul_(2)
    (base * base).sum().backward()
    assert base.grad.tolist() == [4.0, 4.0]


@BOTH
def test_what_division_and_scattering_read_may_be_overwritten(lib):
    x = lib.tensor([3.0, 4.0], requires_grad=True)
    y = x / x.norm()
    y.add_(1)
    z = lib.nn.functional.normalize(x, dim=0).mul_(2)
    src = x * 1
    s = lib.zeros(3).scatter_add(0, lib.tensor([0, 2]), src)
    s += 1
    src.mul_(2)
    (y.sum() + z.sum() + s.sum()).backward()
    assert np.allclose(x.grad.numpy(), [1 + 3 * 4 / 125, 1 - 3 * 3 / 125])


@BOTH
def test_views_of_nothing_are_differentiated_twice(lib):
    for shape, view in (((0, 3), lambda x: x[:, 1:]), ((2, 5), lambda x: x[1:-1:2, -1])):
        x = lib.ones(*shape, requires_grad=True)
        y = view(x)
        (g,) = lib.autograd.grad((y * y).sum(), x, create_graph=True)
        g.sum().backward()
        assert x.grad.shape == shape and x.grad.sum().item() == 0
    assert lib.zeros(0, 4).unflatten(1, (2, -1)).shape == (0, 2, 2)


@BOTH
def test_integers_keep_their_digits_beside_floats(lib):
    assert lib.tensor([2**53 + 1, 1.5], dtype=lib.int64).tolist() == [2**53 + 1, 1]
    assert lib.tensor([2**63 - 1, -1.5], dtype=lib.int64).tolist() == [2**63 - 1, -1]


@BOTH
def test_scalars_of_half_beside_integers(lib):
    for made in (lib.tensor([100000]) * np.float16(1), lib.tensor([100000]) * np.float32(1)):
        assert made.dtype == lib.float32 and made.tolist() == [100000.0]
    assert (lib.tensor([1.5]).half() * np.float32(1)).dtype == lib.float16


@BOTH
def test_detaching_in_place(lib):
    x = lib.ones(2, requires_grad=True)
    y = x * 2
    z = y * 3
    assert y.detach_() is y and y.is_leaf and not y.requires_grad and y.grad_fn is None
    z.sum().backward()  # what was made of it before keeps its history
    assert x.grad.tolist() == [6.0, 6.0]
    assert not x.detach_().requires_grad
    with pytest.raises(RuntimeError, match="detach views"):
        (lib.ones(2, requires_grad=True) * 1)[:1].detach_()


@BOTH
@pytest.mark.parametrize("leaf", [True, False])
def test_a_view_made_under_no_grad_is_not_written_to_outside(lib, leaf):
    w = lib.zeros(2, 3, requires_grad=True)
    w = w if leaf else w * 1
    with lib.no_grad():
        row = w[0]
        free = lib.zeros(3)[1:]
    for view in (row, row[:2]):
        with pytest.raises(RuntimeError, match="no_grad"):
            view.add_(1)
        with pytest.raises(RuntimeError, match="no_grad"):
            view[0] = 5
    assert w.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert free.add_(1).tolist() == [1, 1]
    assert row.detach().add_(1).tolist() == [1, 1, 1]


@BOTH
def test_bytes_are_counted(lib):
    assert lib.bincount(lib.tensor([1, 2, 1], dtype=lib.uint8)).tolist() == [0, 2, 1]


@BOTH
def test_subtraction_refuses_bool_tensors(lib):
    mask = lib.tensor([True, False])
    for f in (lambda: lib.ones(2) - mask, lambda: lib.ones(2).sub_(mask), lambda: mask - mask):
        with pytest.raises((TypeError, RuntimeError), match="bool"):
            f()
