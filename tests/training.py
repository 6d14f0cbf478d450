"""What the tests of the trainer train, and on what."""

import rubigo as rg
from rubigo import nn, optim
from rubigo.train import Trainer


def blobs(count=60, seed=0):
    """Three well separated classes in the plane."""
    generator = rg.Generator()
    generator.manual_seed(seed)
    y = rg.arange(count) % 3
    centres = rg.tensor([[0.0, 3.0], [3.0, -1.0], [-3.0, -1.0]])
    x = centres.index_select(0, y) + 0.4 * rg.randn(count, 2, generator=generator)
    return x, y


def network():
    rg.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def trainer(callbacks=(), *, model=None, schedule=True, **options):
    model = network() if model is None else model
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    if schedule:
        options["scheduler"] = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    return Trainer(
        model,
        optimizer,
        nn.CrossEntropyLoss(),
        metrics=["accuracy"],
        callbacks=callbacks,
        **options,
    )


def data(count=12):
    """Points of the plane, and whether they lie to the right."""
    x = rg.randn(count, 2, generator=rg.Generator().manual_seed(1))
    return x, (x[:, 0] > 0).long()
