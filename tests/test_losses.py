"""Losses against PyTorch: values and gradients, and what a wrong shape is told."""

import numpy as np
import pytest
from twins import array

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def uniform(*shape):
    return rng.uniform(0.01, 0.99, shape).astype(np.float32)


def signs(*shape):
    return rng.choice([-1.0, 1.0], shape).astype(np.float32)


def bits(*shape):
    return rng.choice([0.0, 1.0], shape).astype(np.float32)


def classes(high, *shape):
    return rng.integers(0, high, shape)


def distribution(*shape):
    x = rng.uniform(0.1, 1, shape)
    return (x / x.sum(1, keepdims=True)).astype(np.float32)


IGNORED = np.array([2, -100, 0, -100])
WEIGHT3 = np.array([0.5, 1.0, 2.0], np.float32)
CASES = [
    ("MSELoss", {}, [normal(4, 3), normal(4, 3)]),
    ("L1Loss", {}, [normal(4, 3), normal(4, 3)]),
    ("SmoothL1Loss", {}, [normal(4, 30), normal(4, 30)]),
    ("SmoothL1Loss", {"beta": 0.3}, [normal(4, 30), normal(4, 30)]),
    ("SmoothL1Loss", {"beta": 0.0}, [normal(4, 30), normal(4, 30)]),
    ("HuberLoss", {"delta": 0.7}, [normal(4, 30), normal(4, 30)]),
    ("CrossEntropyLoss", {}, [normal(4, 3), classes(3, 4)]),
    ("CrossEntropyLoss", {}, [normal(3), classes(3)]),
    ("CrossEntropyLoss", {}, [normal(4, 3, 5, 2), classes(3, 4, 5, 2)]),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, [normal(4, 3), classes(3, 4)]),
    ("CrossEntropyLoss", {"weight": WEIGHT3}, [normal(4, 3), IGNORED]),
    ("CrossEntropyLoss", {"weight": WEIGHT3, "label_smoothing": 0.1}, [normal(4, 3), IGNORED]),
    ("CrossEntropyLoss", {"ignore_index": 1}, [normal(4, 3), np.array([0, 1, 2, 1])]),
    ("CrossEntropyLoss", {}, [normal(4, 3), distribution(4, 3)]),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, [normal(4, 3, 2), distribution(4, 3, 2)]),
    ("NLLLoss", {}, [normal(4, 3), classes(3, 4)]),
    ("NLLLoss", {"weight": WEIGHT3}, [normal(4, 3), IGNORED]),
    ("NLLLoss", {}, [normal(4, 3, 5), classes(3, 4, 5)]),
    ("BCELoss", {}, [uniform(4, 3), uniform(4, 3)]),
    ("BCELoss", {"weight": WEIGHT3}, [uniform(4, 3), bits(4, 3)]),
    ("BCELoss", {}, [np.array([0, 1, 1e-30, 0.5], np.float32), np.array([1, 0, 1, 1], np.float32)]),
    ("BCEWithLogitsLoss", {}, [normal(4, 3) * 30, bits(4, 3)]),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHT3}, [normal(4, 3), uniform(4, 3)]),
    ("BCEWithLogitsLoss", {"weight": WEIGHT3}, [normal(4, 3), bits(4, 3)]),
    ("KLDivLoss", {}, [np.log(distribution(4, 3)), distribution(4, 3)]),
    ("KLDivLoss", {"log_target": True}, [normal(4, 3), normal(4, 3)]),
    ("KLDivLoss", {"reduction": "batchmean"}, [normal(4, 3), bits(4, 3)]),
    ("PoissonNLLLoss", {}, [normal(4, 3), classes(5, 4, 3).astype(np.float32)]),
    ("PoissonNLLLoss", {"log_input": False}, [uniform(4, 3), classes(5, 4, 3).astype(np.float32)]),
    ("PoissonNLLLoss", {"full": True}, [normal(4, 3), classes(5, 4, 3).astype(np.float32)]),
    ("GaussianNLLLoss", {}, [normal(4, 3), normal(4, 3), uniform(4, 3)]),
    ("GaussianNLLLoss", {"full": True}, [normal(4, 3), normal(4, 3), uniform(4, 1)]),
    ("GaussianNLLLoss", {"eps": 0.5}, [normal(4, 3), normal(4, 3), uniform(4)]),
    ("SoftMarginLoss", {}, [normal(4, 3) * 10, signs(4, 3)]),
    ("MultiLabelSoftMarginLoss", {}, [normal(4, 3), bits(4, 3)]),
    ("MultiLabelSoftMarginLoss", {"weight": WEIGHT3}, [normal(4, 3), bits(4, 3)]),
    ("MultiMarginLoss", {}, [normal(4, 3), classes(3, 4)]),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": WEIGHT3}, [normal(4, 3), classes(3, 4)]),
    ("CosineEmbeddingLoss", {"margin": 0.1}, [normal(6, 3), normal(6, 3), signs(6)]),
    ("MarginRankingLoss", {"margin": 0.2}, [normal(6), normal(6), signs(6)]),
    ("HingeEmbeddingLoss", {"margin": 0.5}, [normal(6, 2), signs(6, 2)]),
    ("TripletMarginLoss", {}, [normal(6, 4), normal(6, 4), normal(6, 4)]),
    ("MultiLabelMarginLoss", {}, [normal(3, 4), np.array([[3, 0, -1, 1], [1, 2, 0, 3], [-1] * 4])]),
    ("MultiLabelMarginLoss", {}, [normal(4), np.array([2, 2, -1, 0])]),
    ("TripletMarginWithDistanceLoss", {"swap": True}, [normal(6, 4), normal(6, 4), normal(6, 4)]),
    ("TripletMarginLoss", {"swap": True, "p": 3.0}, [normal(6, 4), normal(6, 4), normal(6, 4)]),
]  # fmt: skip


PAIRS = ("CosineEmbeddingLoss", "MarginRankingLoss")


@pytest.mark.filterwarnings("ignore:.*reduction.*")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, kwargs, inputs", CASES)
def test_loss_equals_torch(name, kwargs, inputs, reduction, device):
    kwargs = {"reduction": reduction, **kwargs}
    results = []
    for lib, lib_nn in ((rg, nn), (torch, torch.nn)):
        where = {"device": device} if lib is rg else {}
        settings = {
            k: lib.tensor(v, **where) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()
        }
        tensors = [lib.tensor(x, **where) for x in inputs]
        # Distances need no gradient for their targets; probabilities are compared for x only.
        first = tensors[: 3 if "Triplet" in name else 2 if name in PAIRS else 1]
        for t in first:
            if t.is_floating_point():
                t.requires_grad_(True)
        loss = getattr(lib_nn, name)(**settings)(*tensors)
        weights = np.arange(1, loss.numel() + 1, dtype=np.float32).reshape(tuple(loss.shape))
        (loss * lib.tensor(weights, **where)).sum().backward()
        results.append([array(loss)] + [array(t.grad) for t in first if t.grad is not None])
    ours, theirs = results
    assert len(ours) == len(theirs) >= 2
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", [
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits",
    "kl_div", "poisson_nll_loss", "hinge_embedding_loss", "soft_margin_loss",
])  # fmt: skip
def test_a_loss_does_not_broadcast(name):
    loss = getattr(nn.functional, name)
    with pytest.raises(ValueError, match=r"\(8, 1\).*\(8,\)[^\x00]*squeeze\(-1\)"):
        loss(rg.zeros(8, 1), rg.zeros(8))
    with pytest.raises(ValueError, match=r"target.squeeze\(-1\)"):
        loss(rg.zeros(8), rg.zeros(8, 1))
    with pytest.raises(ValueError, match="expand_as"):
        loss(rg.zeros(8, 3), rg.zeros(3))


def test_class_targets_are_checked():
    x = rg.zeros(4, 3)
    with pytest.raises(ValueError, match=r"squeeze\(-1\)"):
        nn.functional.cross_entropy(x, rg.zeros(4, 1, dtype=rg.int64))
    with pytest.raises(TypeError, match="long"):
        nn.functional.cross_entropy(x, rg.zeros(4))
    with pytest.raises(ValueError, match="argmax"):
        nn.functional.cross_entropy(x, rg.zeros(4, 3, dtype=rg.int64))
    with pytest.raises((IndexError, ValueError)):
        nn.functional.cross_entropy(x, rg.tensor([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="label_smoothing"):
        nn.functional.cross_entropy(x, rg.tensor([0, 1, 2, 0]), label_smoothing=2.0)


def test_bad_settings():
    one = rg.ones(1)
    with pytest.raises(ValueError, match="reduction"):
        nn.functional.mse_loss(one, one, reduction="average")
    with pytest.raises(ValueError, match="reduction"):
        nn.MSELoss(reduction="batchmean")
    with pytest.raises(RuntimeError, match="sigmoid"):
        nn.functional.binary_cross_entropy(one * 2, one)
    with pytest.raises(ValueError, match="negative"):
        nn.functional.gaussian_nll_loss(one, one, -one)
    with pytest.raises(ValueError, match="delta"):
        nn.functional.huber_loss(one, one, delta=0.0)


def test_bce_at_its_ends_has_the_gradients_of_torch(device):
    x = np.array([0, 1, 0, 1, 1e-9, 1 - 1e-7, 0.3], np.float32)
    y = np.array([0, 1, 1, 0, 0, 1, 0.2], np.float32)
    ours = rg.tensor(x, device=device, requires_grad=True)
    theirs = torch.tensor(x, requires_grad=True)
    nn.functional.binary_cross_entropy(ours, rg.tensor(y, device=device)).backward()
    torch.nn.functional.binary_cross_entropy(theirs, torch.tensor(y)).backward()
    np.testing.assert_allclose(array(ours.grad), array(theirs.grad), rtol=1e-5)


@pytest.mark.parametrize("bad", [2.0, -0.5, float("nan")])
def test_bce_targets_are_checked(bad):
    for lib, F in ((rg, nn.functional), (torch, torch.nn.functional)):
        if bad == bad or lib is rg:  # torch lets nan pass
            with pytest.raises(RuntimeError, match="target should be between 0 and 1"):
                F.binary_cross_entropy(lib.tensor([0.5]), lib.tensor([bad]))


def test_arrays_are_refused():
    array = np.zeros(2, np.float32)
    for call in (
        lambda: nn.MSELoss()(rg.zeros(2), array),
        lambda: nn.MSELoss()(array, rg.zeros(2)),
        lambda: nn.CrossEntropyLoss()(rg.zeros(2, 2), np.array([0, 1])),
    ):
        with pytest.raises(TypeError, match="from_numpy"):
            call()
    with pytest.raises(TypeError, match="Tensor, got float"):
        nn.MSELoss()(rg.zeros(2), 1.0)


def test_weights_are_buffers(device):
    loss = nn.CrossEntropyLoss(weight=rg.ones(3))
    assert list(loss.state_dict()) == ["weight"]
    assert str(loss.to(device).weight.device).split(":")[0] == device


def test_weighted_means_equal_torch(device):
    x, y, w = normal(4, 3), normal(4, 3), uniform(4, 3)
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        ours = getattr(nn.functional, name)(
            *(rg.tensor(v, device=device) for v in (x, y)), weight=rg.tensor(w, device=device)
        )
        theirs = getattr(torch.nn.functional, name)(
            *map(torch.from_numpy, (x, y)), weight=torch.from_numpy(w)
        )
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["huber_loss", "smooth_l1_loss", "mse_loss"])
def test_gradients_at_infinity_as_in_torch(name):
    torch = pytest.importorskip("torch")
    found = []
    for lib in (rg, torch):
        x = lib.tensor([float("inf"), -float("inf"), 3e38, 0.5, -2.0], requires_grad=True)
        loss = getattr(lib.nn.functional, name)(x, lib.zeros(5), reduction="none")
        loss.sum().backward()
        found.append((loss.tolist(), x.grad.tolist()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(
    "scores, target",
    [(0.5, 0), (0.5, [-1]), ([0.5], 0), ([0.5, 0.2, 0.1], [1, -1, 0]), ([0.5, 0.2], [1, 0])],
)
def test_multilabel_margin_of_one_sample(scores, target, reduction, device):
    ours = nn.functional.multilabel_margin_loss(
        rg.tensor(scores, device=device), rg.tensor(target, device=device), reduction=reduction
    )
    theirs = torch.nn.functional.multilabel_margin_loss(
        torch.tensor(scores), torch.tensor(target), reduction=reduction
    )
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_multilabel_margin_refuses_what_torch_does(device):
    for scores, target, error in (
        ([0.5, 0.2], [2, -1], IndexError),
        ([0.5, 0.2], [0, -2], IndexError),
        ([], [], rg.ShapeError),
        ([[], []], [[], []], rg.ShapeError),
        ([[[0.5]]], [[[0]]], rg.ShapeError),
        ([[0.5, 0.2]], [0, 1], rg.ShapeError),
    ):
        x = rg.tensor(scores, dtype=rg.float32, device=device)
        y = rg.tensor(target, dtype=rg.int64, device=device)
        with pytest.raises(error, match="multilabel_margin_loss"):
            nn.functional.multilabel_margin_loss(x, y)
        with pytest.raises(RuntimeError):
            torch.nn.functional.multilabel_margin_loss(
                torch.tensor(scores), torch.tensor(target, dtype=torch.int64)
            )


def test_a_total_weight_of_zero(device):
    """The mean is nan, and so is the gradient of what it is taken of, and of nothing else."""
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        x = lib.zeros(2, 3, device=where, requires_grad=True)
        target = lib.tensor([0, 2], device=where)
        weight = lib.zeros(3, device=where)
        loss = lib.nn.functional.nll_loss(x, target, weight=weight)
        loss.backward()
        found.append((loss.item(), x.grad.tolist()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
