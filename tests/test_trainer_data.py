"""The forms in which a trainer takes data, and what it says when data is bad."""

import math

import numpy as np
import pytest
from training import blobs, trainer

import rubigo as rg
from rubigo import nn, optim
from rubigo.data import DataLoader, TensorDataset
from rubigo.train import Trainer, weights_sha256


def test_non_finite_loss_names_epoch_batch_and_cause():
    x, y = blobs()
    x[17, 1] = math.nan
    run = trainer()
    before = weights_sha256(run.model)
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 2: input 0 .* sample 7"):
        run.fit((x, y), 1, batch_size=10, shuffle=False, verbose=0)
    assert weights_sha256(run.model) != before  # batch 0 was trained on
    assert all(bool(rg.isfinite(p).all()) for p in run.model.parameters())

    target = rg.tensor([[0.0], [math.inf]])
    model = nn.Linear(1, 1)
    run = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    with pytest.raises(FloatingPointError, match="target is not finite in sample 1"):
        run.fit((rg.zeros(2, 1), target), 1, shuffle=False, verbose=0)
    with rg.no_grad():
        model.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="parameter bias is no longer finite"):
        run.fit((rg.zeros(2, 1), rg.zeros(2, 1)), 1, verbose=0)


def test_labels_out_of_range_and_empty_data_raise():
    x, y = blobs()
    y[4] = 3
    with pytest.raises((IndexError, ValueError)):
        trainer().fit((x, y), 1, verbose=0)
    with pytest.raises(ValueError, match="0 samples"):
        trainer().fit((x[:0], y[:0]), 1, verbose=0)
    with pytest.raises(ValueError, match="0 samples"):
        trainer().evaluate((x[:0], y[:0]))
    with pytest.raises(ValueError, match=r"\[60, 59\]"):
        trainer().fit((x, y[:59]), 1, verbose=0)

    empty = DataLoader(TensorDataset(x, y), batch_sampler=[[]])
    with pytest.raises(ValueError, match="epoch 1, batch 1 has 0 samples"):
        trainer().fit(empty, 1, verbose=0)
    with pytest.raises(TypeError, match=r"\(inputs..., target\)"):
        trainer().fit(DataLoader(range(3)), 1, verbose=0)


def test_a_loss_per_sample_is_refused():
    model = nn.Linear(2, 3)
    run = Trainer(
        model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(reduction="none")
    )
    with pytest.raises(ValueError, match="one number"):
        run.fit(blobs(), 1, verbose=0)


WAYS = [
    lambda run, x, y: run.fit((x, y), 2, verbose=0),
    lambda run, x, y: run.fit([x, y], 2, verbose=0),
    lambda run, x, y: run.fit(x, y, 2, verbose=0),
    lambda run, x, y: run.fit(x, y, epochs=2, verbose=0),
    lambda run, x, y: run.fit((x,), y, epochs=np.int64(2), verbose=0),
    lambda run, x, y: run.fit(x.numpy().astype("float64"), y.numpy(), epochs=2, verbose=0),
    lambda run, x, y: run.fit(x.tolist(), y.tolist(), epochs=2, verbose=0),
    lambda run, x, y: run.fit(TensorDataset(x, y), epochs=2, verbose=0),
    lambda run, x, y: run.fit(list(TensorDataset(x, y)), 2, verbose=0),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_ways_to_pass_the_data(way):
    x, y = blobs()
    whole = trainer()
    whole.fit((x, y), epochs=2, verbose=0)
    run = trainer()
    WAYS[way](run, x, y)
    assert run.epoch == 2 and weights_sha256(run.model) == weights_sha256(whole.model)


def test_one_epoch_by_default_and_only_whole_ones():
    x, y = blobs()
    run = trainer()
    history = run.fit(x, y, validation_data=(x, y), verbose=0)
    assert run.epoch == 1 and history.history is history and len(history["val_loss"]) == 1
    for call in (lambda: run.fit((x, y), 1.5), lambda: run.fit(x, y, epochs="2")):
        with pytest.raises(TypeError, match="epochs must be a whole number"):
            call()
    with pytest.raises(TypeError, match="target is missing"):
        run.fit(x, epochs=2)
    with pytest.raises(TypeError, match="TensorDataset holds the target itself"):
        run.fit(TensorDataset(x, y), y, epochs=2)
    with pytest.raises(ValueError, match="two names"):
        run.fit(x, y, 2, validation=(x, y), validation_data=(x, y))
    with pytest.raises(ValueError, match="verbose"):
        run.fit(x, y, 2, verbose=3)


def test_evaluate_and_predict_take_what_fit_takes():
    x, y = blobs()
    run = trainer()
    scores = run.evaluate((x, y))
    assert scores == run.evaluate(x, y) == run.evaluate(TensorDataset(x, y))
    whole = run.predict(x).tolist()
    data = TensorDataset(x, y)
    for given in (x.numpy(), x.tolist(), (x,), [x], data, DataLoader(data, 7), TensorDataset(x)):
        assert run.predict(given).tolist() == whole
    with pytest.raises(TypeError, match=r"predict takes .*, got int"):
        run.predict(3)


class Sums(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, a, b):
        return self.layer(a + b), self.layer(a - b)


def test_several_inputs_and_outputs():
    model = Sums()

    def loss(outputs, target):
        first, second = outputs
        return nn.functional.mse_loss(first, target) + 0 * second.sum()

    run = Trainer(model, optim.SGD(model.parameters(), lr=0.1), loss, metrics=["mae"])
    a, b = rg.arange(8.0).reshape(8, 1) / 8, rg.ones(8, 1)
    run.fit((a, b), a, epochs=2, verbose=0)
    run.fit((a, b, a), epochs=3, verbose=0)
    first, second = run.predict((a, b), batch_size=3)
    assert (first - model.layer(a + b)).abs().max().item() < 1e-6
    assert tuple(second.shape) == (8, 1)
    with rg.no_grad():
        model.layer.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"parameter layer\.bias is no longer finite"):
        run.fit((a, b, a), epochs=4, verbose=0)
