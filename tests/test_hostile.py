"""Labels, sizes and seeds that mean harm: a precise exception, at once, and no crash."""

import time

import pytest
from harness import LINUX, subprocess_run

import rubigo as rg
from rubigo import nn

F = nn.functional


def test_labels_out_of_range():
    x = rg.randn(4, 3)
    for bad in ([0, 1, 2, 3], [0, 1, 2, -1], [0, 1, 2, 2**40], [-(2**63), 0, 0, 0]):
        with pytest.raises((IndexError, ValueError)) as caught:
            F.cross_entropy(x, rg.tensor(bad))
        text = str(caught.value)
        assert "3" in text and str(next(v for v in bad if not 0 <= v < 3)) in text
    with pytest.raises((IndexError, ValueError)):
        F.embedding(rg.tensor([5]), rg.ones(3, 2))
    for op in (
        lambda i: x.gather(1, i.view(4, 1)),
        lambda i: x.index_select(1, i),
        lambda i: x[:, i],
        lambda i: rg.zeros(4, 3).scatter_add(1, i.view(4, 1), x),
        lambda i: F.one_hot(i, 3),
    ):
        for bad in ([0, 1, 2, 3], [0, 1, 2, 2**40]):
            with pytest.raises((IndexError, ValueError, RuntimeError)):
                op(rg.tensor(bad))


def test_labels_out_of_range_on_a_device(device):
    x = rg.randn(4, 3, device=device)
    with pytest.raises((IndexError, ValueError)):
        F.cross_entropy(x, rg.tensor([0, 1, 2, 3], device=device)).item()
    with pytest.raises((IndexError, ValueError)):
        F.embedding(rg.tensor([5], device=device), rg.ones(3, 2, device=device)).tolist()


def test_labels_that_are_no_numbers():
    x = rg.randn(2, 3)
    nan = float("nan")
    with pytest.raises((TypeError, RuntimeError, IndexError)):
        F.cross_entropy(x, rg.tensor([nan, 1.0]))
    assert F.mse_loss(rg.ones(2), rg.tensor([nan, 1.0])).isnan().item()
    with pytest.raises((TypeError, ValueError)):
        F.cross_entropy(x, rg.tensor([[nan] * 3, [1.0] * 3]).long().float()[0].bool())
    probabilities = F.cross_entropy(x, rg.tensor([[nan, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    assert probabilities.isnan().item()


def test_training_on_labels_that_are_nan_stops_and_says_why():
    model = nn.Linear(2, 1)
    trainer = rg.train.Trainer(model, rg.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    y = rg.zeros(8, 1)
    y[3] = float("nan")
    before = model.weight.detach().clone()
    with pytest.raises(FloatingPointError, match="target is not finite in sample"):
        trainer.fit((rg.ones(8, 2), y), epochs=1, batch_size=8)
    assert model.weight.isfinite().all() and model.weight.equal(before)


@pytest.mark.parametrize("layer", ["linear", "conv", "norm", "pool", "loss"])
def test_a_batch_of_none(layer, device):
    x = rg.zeros(0, 3, 8, 8, device=device, requires_grad=True)
    model = nn.Sequential(
        {
            "linear": nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
            "conv": nn.Conv2d(3, 4, 3),
            "norm": nn.LayerNorm(8),
            "pool": nn.MaxPool2d(2),
            "loss": nn.Flatten(),
        }[layer]
    ).to(device)
    y = model(x)
    assert y.shape[0] == 0
    if layer == "loss":
        assert F.cross_entropy(y, rg.zeros(0, dtype=rg.int64, device=device)).isnan().item()
        return
    y.sum().backward()
    assert x.grad.shape == x.shape
    for p in model.parameters():
        assert (p.grad == 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: rg.zeros(2**40),
        lambda: rg.empty(2**62),
        lambda: rg.zeros(2**32, 2**32),
        lambda: rg.zeros(2**20, 2**20, 2**20, 2**20),
        lambda: rg.ones(1).expand(2**45).clone(),
        lambda: rg.ones(1).expand(2**62) + 1,
        lambda: rg.eye(2**24),
        lambda: rg.arange(2**50),
        lambda: rg.ones(2**20, 1) @ rg.ones(1, 2**20),
        lambda: rg.randn(2**44),
        lambda: rg.ones(1).repeat(2**50),
        lambda: F.one_hot(rg.tensor([2**45])),
        lambda: F.pad(rg.ones(1), (0, 2**50)),
        lambda: rg.full((2**41,), 1.0),
    ],
)
def test_huge_requests_are_refused_at_once(make):
    start, cpu = time.perf_counter(), time.process_time()
    with pytest.raises((MemoryError, ValueError, OverflowError)):
        make()
    assert time.perf_counter() - start < 2 and time.process_time() - cpu < 2


@LINUX
def test_a_memory_limit_is_a_memory_error():
    done = subprocess_run(
        """
        import rubigo as rg
        x = rg.ones(10)
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        kept = []
        try:
            while True:
                kept.append(rg.empty(1 << 26))
        except MemoryError:
            kept.clear()
            print("refused", rg.ones(10).sum().item())
        """
    )
    assert done.stdout.split() == ["refused", "10.0"], done.stderr[-2000:]


def test_seeds():
    for seed in (0, 1, 2**63, 2**64 - 1, -1):
        rg.manual_seed(seed)
        assert rg.randn(3).isfinite().all()
    for bad in (2**64, 1.5, "seed", None):
        with pytest.raises((ValueError, TypeError, OverflowError, RuntimeError)):
            rg.manual_seed(bad)
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        rg.set_rng_state(rg.zeros(3))
