"""What a wrong call is told: the right exception, the op or the layer, shapes, the way out."""

import inspect
import re
import warnings

import pytest

import rubigo as rg
from rubigo import metrics, nn, optim

F = nn.functional


def raised(kind, call):
    """The text of the exception, which must be exactly of this kind."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind, f"{type(caught.value).__name__}: {caught.value}"
    return str(caught.value)


def has(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"


# Shapes.

SHAPES = [
    (lambda: rg.ones(2, 3) + rg.ones(2, 4), ["add", "(2, 3)", "(2, 4)"]),
    (lambda: rg.ones(2).mul_(rg.ones(3, 2)), ["mul", "(3, 2)", "(2,)"]),
    (lambda: rg.ones(2, 3) @ rg.ones(2, 3), ["matmul", "(2, 3)"]),
    (lambda: rg.ones(3) @ rg.ones(4), ["matmul", "(3,)", "(4,)"]),
    (lambda: rg.ones(2, 3, 4) @ rg.ones(5, 4, 2), ["matmul", "(2, 3, 4)", "(5, 4, 2)"]),
    (lambda: rg.ones(2, 3).reshape(4), ["reshape", "4", "6"]),
    (lambda: rg.ones(2, 3).view(-1, 4), ["view", "4", "6"]),
    (lambda: rg.ones(2, 3).expand(2, 4), ["expand", "(2, 3)", "(2, 4)"]),
    (lambda: rg.cat([rg.ones(2, 3), rg.ones(2, 4)]), ["cat", "(2, 3)", "(2, 4)"]),
    (lambda: rg.stack([rg.ones(2), rg.ones(3)]), ["stack", "(2,)", "(3,)"]),
    (lambda: F.linear(rg.ones(2, 3), rg.ones(5, 4)), ["linear", "(2, 3)", "(5, 4)"]),
    (
        lambda: F.conv2d(rg.ones(1, 3, 8, 8), rg.ones(4, 2, 3, 3)),
        ["conv2d", "(1, 3, 8, 8)", "(4, 2, 3, 3)"],
    ),
    (lambda: F.conv2d(rg.ones(1, 3, 2, 2), rg.ones(4, 3, 3, 3)), ["conv2d", "(1, 3, 2, 2)"]),
    (lambda: F.mse_loss(rg.ones(8, 1), rg.ones(8)), ["mse_loss", "(8, 1)", "(8,)"]),
    (lambda: F.cross_entropy(rg.ones(4, 3), rg.zeros(5, dtype=rg.int64)), ["(4, 3)", "(5,)"]),
    (lambda: rg.where(rg.ones(2) > 0, rg.ones(3), 0.0), ["where", "(2,)", "(3,)"]),
]


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_shapes_that_do_not_fit(number):
    call, parts = SHAPES[number]
    has(raised(rg.ShapeError, call), *parts)


def test_shape_error_is_what_both_communities_catch():
    assert issubclass(rg.ShapeError, ValueError) and issubclass(rg.ShapeError, RuntimeError)
    assert rg.ShapeError.__module__ == "rubigo"


def test_a_hint_says_what_to_do():
    has(raised(rg.ShapeError, lambda: rg.ones(2, 3) + rg.ones(2)), "hint:", "unsqueeze")
    has(raised(RuntimeError, lambda: bool(rg.ones(2))), "hint:", ".any()")
    has(raised(RuntimeError, lambda: rg.ones(2).item()), "tolist")


# Dtypes.

DTYPES = [
    (lambda: rg.tensor([1.0]) & 1, ["bitwise_and", "float32"]),
    (lambda: rg.tensor([1, 2]).mean(), ["mean", "int64"]),
    (lambda: rg.tensor([1, 2]).add_(1.5), ["add", "float32", "int64"]),
    (lambda: F.embedding(rg.tensor([0.5]), rg.ones(3, 2)), ["embedding", "float32"]),
    (lambda: rg.ones(2, 2) @ rg.ones(2, 2, dtype=rg.int64), ["matmul", "float32", "int64"]),
    (lambda: F.cross_entropy(rg.ones(2, 3), rg.ones(2, dtype=rg.bool)), ["bool"]),
    (lambda: rg.gather(rg.ones(2), 0, rg.tensor([0.0])), ["gather", "float32"]),
    (lambda: rg.ones(2, dtype="float33"), ["float33", "float32"]),
    (lambda: rg.ones(2).to(3), ["float32"]),
]


@pytest.mark.parametrize("number", range(len(DTYPES)))
def test_dtypes_that_do_not_fit(number):
    call, parts = DTYPES[number]
    with pytest.raises((TypeError, RuntimeError, IndexError)) as caught:
        call()
    has(str(caught.value), *parts)


# Dimensions, sizes, values.


@pytest.mark.parametrize(
    "call",
    [
        lambda: rg.ones(2, 3).sum(2),
        lambda: rg.ones(2, 3).sum(-3),
        lambda: rg.ones(2).squeeze(4),
        lambda: rg.ones(2).transpose(0, 1),
        lambda: rg.cat([rg.ones(2)], 1),
        lambda: rg.ones(2).unsqueeze(3),
        lambda: rg.ones(2).softmax(1),
        lambda: rg.ones(2, 3).argmax(5),
        lambda: rg.ones(2).flip(1),
        lambda: rg.ones(2, 3).select(1, 3),
        lambda: rg.ones(2, 3).max(7),
    ],
)
def test_dimensions_out_of_range(call):
    text = raised(IndexError, call)
    assert "range" in text or "bounds" in text


def test_what_has_no_answer():
    for call in (
        lambda: rg.tensor([]).max(),
        lambda: rg.tensor([]).argmax(),
        lambda: rg.ones(0, 3).amax(0),
    ):
        with pytest.raises((RuntimeError, IndexError, ValueError)):
            call()
    assert rg.tensor([]).sum().item() == 0 and rg.tensor([]).prod().item() == 1
    assert rg.tensor([]).mean().isnan().item()
    for call in (
        lambda: rg.ones(2, 3).permute(0, 0),
        lambda: rg.ones(2, 3).permute(0),
        lambda: rg.ones(2).sum((0, 0)),
        lambda: rg.ones(2).repeat_interleave(-1),
        lambda: rg.cat([]),
        lambda: rg.stack([]),
        lambda: rg.ones(4).split(-1),
        lambda: F.dropout(rg.ones(2), 1.5),
        lambda: F.one_hot(rg.tensor([-1])),
        lambda: F.one_hot(rg.tensor([3]), 2),
        lambda: rg.ones(2).topk(3),
        lambda: rg.ones(2, -1),
        lambda: F.max_pool2d(rg.ones(1, 1, 4, 4), 0),
        lambda: F.conv1d(rg.ones(1, 1, 4), rg.ones(1, 1, 2), stride=0),
    ):
        with pytest.raises((RuntimeError, ValueError, IndexError)):
            call()


# Arguments.


def test_missing_unknown_and_repeated_arguments():
    x = rg.ones(2)
    has(raised(TypeError, lambda: rg.add(x)), "add()", "other")
    has(raised(TypeError, lambda: rg.add(x, x, zz=1)), "add()", "'zz'", "alpha")
    has(raised(TypeError, lambda: rg.exp(x, x)), "exp()", "1 positional", "2 were given")
    has(raised(TypeError, lambda: rg.sum(x, 0, dim=0)), "sum()", "multiple values", "dim")
    has(raised(TypeError, lambda: rg.exp("a")), "exp()", "input", "str")
    has(raised(TypeError, lambda: rg.cat(["a"])), "cat()", "str")
    has(raised(TypeError, lambda: rg.cat(5)), "cat", "tensors")
    has(raised(TypeError, lambda: x.sum("a")), "sum()", "dim", "str")
    has(raised(TypeError, lambda: x.exp(zz=1)), "exp", "zz")
    has(raised(TypeError, lambda: rg.tensor()), "data")
    has(raised(AttributeError, lambda: x.expp), "expp")
    has(raised(AttributeError, lambda: rg.expp), "expp")
    assert x.sum(axis=0).item() == 2 and x.sum(dim=0, keepdims=True).shape == (1,)


def test_floats_are_no_integers():
    x = rg.ones(4)
    for call in (
        lambda: x.reshape(2.0, 2),
        lambda: x.sum(0.0),
        lambda: x.unsqueeze(1.5),
        lambda: rg.ones(2.0),
        lambda: x.view(2, 2.0),
        lambda: x.expand(2.0, 4),
        lambda: rg.arange(3).select(0, 1.0),
        lambda: x.transpose(0.0, 0),
        lambda: x.flip(0.0),
        lambda: x.reshape("4"),
    ):
        text = raised(TypeError, call)
        has(text, "integer")


def test_numbers_that_do_not_fit_the_argument():
    x = rg.ones(4)
    for call in (
        lambda: x.reshape(2**70),
        lambda: x.sum(2**70),
        lambda: rg.ones(10**30),
        lambda: x.sum(-(2**63)),
    ):
        with pytest.raises((OverflowError, IndexError, ValueError, MemoryError)):
            call()


def test_devices():
    for name in ("tpu", "cuda", "gpu:7", "", "CPU"):
        text = raised(ValueError, lambda name=name: rg.ones(2, device=name))
        has(text, '"cpu"', '"gpu"')
    raised(TypeError, lambda: rg.ones(2, device=1.5))


def test_mixed_devices(gpu):
    a, b = rg.ones(2), rg.ones(2, device=gpu)
    for call in (
        lambda: a + b,
        lambda: rg.cat([a, b]),
        lambda: F.mse_loss(a, b),
        lambda: a.add_(b),
    ):
        with pytest.raises((RuntimeError, TypeError)) as caught:
            call()
        has(str(caught.value), "cpu", "gpu")
    for call, places in (
        (
            lambda: a + b,
            "add: expected all tensors on one device, but input is on cpu, other on gpu",
        ),
        (lambda: b.mul(a), "input is on gpu, other on cpu"),
        (lambda: rg.where(a > 0, b, b), "condition is on cpu, input on gpu, other on gpu"),
        (lambda: rg.cat([b, a]), "tensors[0] is on gpu, tensors[1] on cpu"),
    ):
        has(raised(RuntimeError, call), places, '.to("gpu")')
    assert (b + rg.tensor(1.0)).tolist() == [2, 2]
    model = nn.Sequential(nn.Linear(2, 2)).to(gpu)
    with pytest.raises((RuntimeError, TypeError)) as caught:
        model(a)
    has(str(caught.value), "[0] (Linear)", "gpu", "cpu")


def test_what_a_gpu_lacks_names_the_cast(gpu):
    for make in (
        lambda: rg.ones(2, dtype=rg.float64, device=gpu),
        lambda: rg.ones(2).to(gpu).double(),
    ):
        has(raised(TypeError, make), "float64", "float32")


# Layers.


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1 = nn.Linear(4, 8)
        self.linear2 = nn.Linear(7, 4)

    def forward(self, x):
        return self.linear2(self.linear1(x))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block() for _ in range(4)])

    def forward(self, x):
        return self.layers[3](x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()

    def forward(self, x):
        return self.encoder(x)


def test_errors_name_the_path_of_the_layer():
    text = raised(rg.ShapeError, lambda: Model()(rg.ones(2, 4)))
    has(text, "encoder.layers[3].linear2 (Linear)", "(2, 8)", "7")
    text = raised(rg.ShapeError, lambda: Model()(rg.ones(2, 5)))
    has(text, "encoder.layers[3].linear1 (Linear)", "(2, 5)", "4")
    text = raised(
        rg.ShapeError, lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3))(rg.ones(1, 2, 8, 8))
    )
    has(text, "[1] (Conv2d)")


FIXES = [
    (lambda: nn.BatchNorm2d(3)(rg.ones(4, 3)), ["(4, 3)", "BatchNorm1d"]),
    (lambda: nn.LayerNorm(3)(rg.ones(4, 5)), ["(3,)", "(4, 5)", "LayerNorm(5)"]),
    (lambda: nn.LayerNorm(4)(rg.ones(2, 4, 5)), ["x.movedim(1, -1)"]),
    (lambda: nn.LayerNorm((3, 4))(rg.ones(2, 4, 5)), ["LayerNorm((4, 5))"]),
    (lambda: nn.MaxPool2d(5)(rg.ones(1, 1, 3, 3)), ["window of 5", "(1, 1, 3, 3)"]),
    (lambda: nn.Conv2d(1, 1, 5)(rg.ones(1, 1, 3, 3)), ["(5, 5)", "(1, 1, 3, 3)", "padding"]),
    (lambda: nn.CrossEntropyLoss(rg.ones(4))(rg.ones(1, 3), rg.tensor([0])), ["3 classes", "(4,)"]),
    (
        lambda: nn.CrossEntropyLoss()(rg.ones(2, 3), rg.tensor([0, 5])),
        ["5", "3 classes", "sample 1"],
    ),
    (lambda: nn.Sequential(nn.ReLU), ["ReLU()"]),
    (lambda: nn.Linear(2, 2)(rg.ones(1, 2, dtype=rg.int64)), ["int64", "x.float()"]),
    (lambda: nn.Linear(2, 2).half()(rg.ones(1, 2)), ["float32", "x.to(rubigo.float16)"]),
    (lambda: nn.Conv1d(1, 1, 1)(rg.ones(1, 1, 2, dtype=rg.float64)), ["float64", "x.float()"]),
    (lambda: F.normalize(rg.tensor([[3, 4]])), ["int64", "x.float()"]),
]


@pytest.mark.parametrize("number", range(len(FIXES)))
def test_a_wrong_use_is_told_the_fix(number):
    call, parts = FIXES[number]
    with pytest.raises((ValueError, TypeError, IndexError)) as caught:
        call()
    has(str(caught.value), *parts)


def test_a_users_own_error_keeps_its_type_and_place():
    class Own(nn.Module):
        def forward(self, x):
            raise ValueError("mine")

    class Special(Exception):
        def __init__(self, code):
            self.code = code

    class Other(nn.Module):
        def forward(self, x):
            raise Special(7)

    has(raised(ValueError, lambda: nn.Sequential(Own())(rg.ones(1))), "[0] (Own)", "mine")
    with pytest.raises(Special) as caught:
        nn.Sequential(Other())(rg.ones(1))
    assert caught.value.code == 7


def test_a_shared_error_is_not_renamed_twice():
    error = ValueError("again")

    class Own(nn.Module):
        def forward(self, x):
            raise error

    model = nn.Sequential(Own())
    for _ in range(3):
        with pytest.raises(ValueError) as caught:
            model(rg.ones(1))
    assert str(caught.value).count("(Own)") == 1


def test_constructor_arguments():
    for call in (
        lambda: nn.Linear(3),
        lambda: nn.Linear("a", 3),
        lambda: nn.Conv2d(3, 4),
        lambda: nn.Linear(3, 4, zz=1),
    ):
        with pytest.raises(TypeError):
            call()
    for call in (
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Linear(-1, 3),
        lambda: nn.Dropout(-0.1),
        lambda: rg.optim.SGD([rg.ones(1, requires_grad=True)], lr=-1.0),
        lambda: rg.optim.Adam([], lr=1e-3),
    ):
        with pytest.raises(ValueError):
            call()


def test_state_dicts_that_do_not_fit():
    model = nn.Sequential(nn.Linear(2, 3))
    state = model.state_dict()
    before = {k: v.clone() for k, v in state.items()}
    for bad, parts in [
        ({**state, "1.weight": rg.ones(1)}, ["1.weight", "nexpected"]),
        ({"0.bias": rg.ones(3)}, ["0.weight", "issing"]),
        ({**state, "0.weight": rg.ones(3, 5)}, ["0.weight", "(3, 5)", "(3, 2)"]),
    ]:
        with pytest.raises(RuntimeError) as caught:
            model.load_state_dict(bad)
        has(str(caught.value), *parts)
    for name, value in model.state_dict().items():
        assert value.equal(before[name])


def test_the_op_that_needs_the_overwritten_value_is_named():
    x = rg.ones(2, requires_grad=True)
    y = x.exp()
    z = y.square()
    y.zero_()
    with pytest.raises(RuntimeError) as caught:
        z.sum().backward()
    has(str(caught.value), "square", "inplace", "version")


NONSENSE = [
    None,
    "text",
    -1,
    2**65,
    1.5,
    rg.ones(0),
    rg.ones(2, 3),
    rg.tensor(True),
    [],
    {},
    object(),
    rg.ones,
]
EXPECTED = (TypeError, ValueError, RuntimeError, IndexError, OverflowError, MemoryError)


def test_no_function_fails_internally_on_arguments_of_the_wrong_kind():
    bad = set()
    x = rg.ones(2, 3)
    for row in rg._core.op_table():
        function = getattr(rg._core, row["name"], None)
        for a in NONSENSE if function else ():
            for more in ((), (a,), (a, a), (-7, a, a)):
                for args in ((a, *more), (x, a, *more)):
                    try:
                        function(*args)
                    except EXPECTED as error:  # NotImplementedError is a RuntimeError
                        if "internal error" in str(error):
                            bad.add(f"{row['name']}{args}")
    assert not bad, "\n".join(sorted(bad))


def tensor_arguments():
    """Every argument annotated as a Tensor, of all functions written in Python."""
    for space in (rg, rg.nn.functional):
        for name in sorted(dir(space)):
            function = getattr(space, name)
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            parameters = inspect.signature(function).parameters
            for given in parameters.values():
                kinds = (given.VAR_POSITIONAL, given.VAR_KEYWORD)
                if given.kind not in kinds and given.annotation in ("Tensor", "Tensor | None"):
                    yield pytest.param(function, given, id=f"{space.__name__}.{name}-{given.name}")


@pytest.mark.parametrize(("function", "argument"), list(tensor_arguments()))
def test_what_is_no_tensor_is_a_type_error(function, argument):
    others = {}
    for p in inspect.signature(function).parameters.values():
        if p.annotation == "Tensor":
            others[p.name] = rg.ones(2, 2)
        elif p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            others[p.name] = {"dim": 0, "size": (2, 2), "normalized_shape": (2,)}.get(p.name, 1)
    for wrong in ("text", [1.0], object(), *([] if "None" in argument.annotation else [None])):
        with pytest.raises(TypeError, match="Tensor"):
            function(**{**others, argument.name: wrong})


def test_broadcast_tensors_takes_tensors():
    with pytest.raises(TypeError, match="broadcast_tensors: expected a Tensor, got list"):
        rg.broadcast_tensors(rg.ones(2), [1.0])


@pytest.mark.parametrize(
    "kind, gradients, text",
    [
        (RuntimeError, lambda g: g, "Mul3: backward returned 1 gradients, expected 2"),
        (RuntimeError, lambda g: (g, g, g), "Mul3: backward returned 3 gradients, expected 2"),
        (rg.ShapeError, lambda g: (g, rg.ones(5)), "shape (5,) for input 1, which has shape (3,)"),
        (rg.ShapeError, lambda g: (g[:1], g), "shape (1,) for input 0, which has shape (3,)"),
        (
            TypeError,
            lambda g: (g, 1.0),
            "Mul3: backward must return Tensors or None, but gradient 1 is a float",
        ),
    ],
)
def test_gradients_of_a_function_that_do_not_fit(kind, gradients, text):
    class Mul3(rg.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return gradients(g)

    x, y = rg.ones(3, requires_grad=True), rg.ones(3, requires_grad=True)
    out = Mul3.apply(x, y).sum()
    has(raised(kind, out.backward), text)


def test_a_larger_gradient_is_summed_as_in_pytorch():
    class Wide(rg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g.expand(2, 3)

    x = rg.ones(3, requires_grad=True)
    Wide.apply(x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_warnings_that_save_an_hour():
    x = rg.ones(2, requires_grad=True)
    y = x * 2
    with pytest.warns(UserWarning, match="no leaf"):
        assert y.grad is None
    with pytest.warns(UserWarning, match="no gradient reaches"):
        rg.tensor(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y.retain_grad()
        assert y.retains_grad and y.grad is None and x.grad is None and not x.retains_grad
        y.sum().backward()
        assert y.grad.tolist() == [1, 1]
        rg.tensor(x.detach())


@pytest.mark.parametrize("name", ["gpu:9", "cuda", "float33"])
def test_to_names_what_it_does_not_know(name):
    with pytest.raises(ValueError, match=f'"{name}" is neither a device, .* nor a dtype'):
        rg.ones(2).to(name)


def test_hints_of_layers_lead_somewhere():
    with pytest.raises(ValueError, match=r"hint: add the channel dimension with x\.unsqueeze\(0\)"):
        nn.Conv2d(1, 4, 3)(rg.randn(5, 5))
    assert nn.Conv2d(1, 4, 3)(rg.randn(5, 5).unsqueeze(0)).shape == (4, 3, 3)
    with pytest.raises(ValueError, match=r"put nn\.Flatten\(\) before it, .* Linear\(96, 2\)"):
        nn.Linear(10, 2)(rg.randn(1, 6, 4, 4))
    with pytest.raises(IndexError, match="must be int64, int32 or int16, got float32"):
        nn.Embedding(4, 2)(rg.tensor([-1.5, 9.0]))
    with pytest.raises(ValueError, match=r"use nn\.ModuleList"):
        rg.optim.SGD([], lr=0.1)


def test_mistakes_with_files_and_lists_have_a_way_out(tmp_path):
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"cannot save a Linear; .*\n  hint: save its state_dict"):
        rg.save(model, tmp_path / "a")
    with pytest.raises(TypeError, match=r"got str\n  hint: read the file first, with rg\.load"):
        model.load_state_dict("a.safetensors")
    with pytest.raises(TypeError, match=r"got list\n  hint: unpack the list: Sequential\(\*"):
        nn.Sequential([nn.Linear(2, 2)])


def test_classes_and_functions_where_objects_are_meant():
    model = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="got the class Adam"):
        rg.train.Trainer(model, optim.Adam, nn.MSELoss())
    with pytest.raises(TypeError, match="got the class MSELoss"):
        rg.train.Trainer(model, optim.Adam(model.parameters()), nn.MSELoss)
    with pytest.raises(TypeError, match=r"got the class ReLU\n  hint: make one with ReLU\(\)"):
        nn.Sequential(nn.ReLU)
    with pytest.raises(TypeError, match=r"got function\n  hint: .*nn\.ReLU\(\)"):
        nn.Sequential(nn.Linear(1, 1), F.relu)


def test_numbers_in_the_place_of_tensors():
    best = rg.max(3, -1)
    assert best.values.item() == 3 and best.indices.item() == 0
    with pytest.raises(TypeError, match="pairwise_distance: expected a Tensor, got float"):
        F.pairwise_distance(3.0, 1.0)
    for index in (2.5, 5):
        with pytest.raises(IndexError, match="ind"):
            F.embedding(index, rg.ones(2, 3))


def test_labels_given_as_floats():
    labels = rg.tensor([0.0, 2.0, 1.0])
    with pytest.raises(ValueError, match=r"preds\.long\(\)"):
        metrics.accuracy(labels, labels.long())
    with pytest.raises(ValueError, match="sigmoid"):
        metrics.accuracy(rg.tensor([0.5, 2.5]), rg.tensor([0, 1]))


def test_summaries_of_other_than_float_shapes():
    with pytest.raises(TypeError, match=r"pass x\.shape, \(4, 8\)"):
        rg.train.summary(nn.Linear(8, 1), rg.ones(4, 8))
    with pytest.raises(IndexError) as caught:
        rg.train.summary(nn.Embedding(2, 1), (4, 8))
    assert "dtype=rg.int64" in caught.value.__notes__[-1]


def test_messages_print_few_digits():
    with pytest.raises(RuntimeError, match=r"from -1\.004 to 0\.5\n"):
        F.binary_cross_entropy(rg.tensor([-1.0042164, 0.5]), rg.ones(2))


def test_an_op_is_named_once():
    x = rg.ones(2)
    for call in (
        lambda: x.masked_fill(x, 1.0),
        lambda: rg.stack([x, rg.ones(3)]),
        lambda: x.split([1, 2]),
    ):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert len(re.findall("masked_fill|stack|split", str(caught.value))) == 1, caught.value


def test_sizes_beyond_64_bits():
    with pytest.raises(OverflowError, match="does not fit in 64 bits"):
        rg.ones(10**20)
