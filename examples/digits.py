"""Handwritten digits, from data to a saved model that a second process uses.

    python examples/digits.py                      # CPU, a few seconds
    python examples/digits.py --device gpu
    python examples/digits.py --seeds 5            # five runs, their mean and spread

Writes into runs/digits: model.safetensors, metrics.json, curves.png, confusion.png.
`rubigo train digits` does the same with what is in `rubigo.train.recipes.digits`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from sklearn.model_selection import train_test_split

import rubigo as rg
from rubigo import nn

BATCH_SIZE = 32


def load_parts():
    """(images, labels) to train, to watch and to test, with equal shares of each digit."""
    images, labels = rg.data.load_digits()  # (1797, 1, 8, 8) from 0 to 1, and (1797,)
    y = labels.numpy()
    # A fifth is for the test alone; a tenth of the rest watches the training.
    train, test = train_test_split(range(len(y)), test_size=0.2, random_state=0, stratify=y)
    train, watch = train_test_split(train, test_size=0.1, random_state=0, stratify=y[train])
    return [(images[rows], labels[rows]) for rows in (train, watch, test)]


def network():
    """Images (N, 1, 8, 8) to scores (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 2 * 2, 10),
    )


def train(parts, epochs, device, seed):
    """A trainer that has done its epochs."""
    rg.manual_seed(seed)
    model = network()
    steps = epochs * -(-len(parts[0][0]) // BATCH_SIZE)
    optimizer = rg.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=1e-2)
    trainer = rg.train.Trainer(
        model,
        optimizer,
        nn.CrossEntropyLoss(),
        metrics=["accuracy"],
        device=device,
        scheduler=rg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps),
    )
    trainer.fit(parts[0], epochs, validation=parts[1], batch_size=BATCH_SIZE, seed=seed, verbose=1)
    return trainer


def main():
    options = parse()
    if options.threads is not None:
        rg.set_num_threads(options.threads)
    if options.classify is not None:
        classify(options.classify)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    parts = load_parts()
    test_images, test_labels = parts[2]
    print("{} images to train, {} to watch, {} to test".format(*(len(part[0]) for part in parts)))
    print(rg.train.summary(network(), (1, 1, 8, 8)))

    epochs = 1 if options.smoke else options.epochs
    runs = []
    for seed in range(options.seed, options.seed + options.seeds):
        started = time.perf_counter()
        trainer = train(parts, epochs, options.device, seed)
        seconds = round(time.perf_counter() - started, 3)

        scores = trainer.predict(test_images)
        result = rg.metrics.classification_report(scores, test_labels)
        print(f"seed {seed}: test accuracy {result['accuracy']:.4f} in {seconds:.1f} s")
        digest = rg.train.weights_sha256(trainer.model)
        runs.append({"seed": seed, **result, "seconds": seconds, "weights_sha256": digest})
        if seed == options.seed:  # the first run leaves its model and its pictures
            save(trainer, scores, test_labels, options.out)

    accuracies = [run["accuracy"] for run in runs]
    found = {
        **runs[0],
        "epochs": epochs,
        "parameters": sum(p.numel() for p in network().parameters()),
        "accuracy_mean": statistics.fmean(accuracies),
        "accuracy_stdev": statistics.stdev(accuracies) if len(runs) > 1 else 0.0,
        "runs": [{k: run[k] for k in ("seed", "accuracy", "weights_sha256")} for run in runs],
    }
    (options.out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {options.out}: model.safetensors, metrics.json, curves.png, confusion.png")

    # A process of its own shows that the file alone is enough.
    command = [sys.executable, __file__, "--classify", str(options.out / "model.safetensors")]
    raise SystemExit(subprocess.run(command).returncode)


def save(trainer, scores, labels, out):
    """Writes the model, in the form that `rubigo predict` reads, and two pictures."""
    weights = trainer.model.to("cpu").state_dict()
    rg.save({"format": "rubigo.digits/1", "weights": dict(weights)}, out / "model.safetensors")
    left, right = rg.plots.new_figure(9, 4).subplots(1, 2)
    rg.plots.curves(trainer.history, ("loss", "val_loss"), left)
    rg.plots.curves(trainer.history, ("accuracy", "val_accuracy"), right)
    rg.plots.save(left, out / "curves.png")
    matrix = rg.metrics.confusion_matrix(scores, labels)
    rg.plots.save(rg.plots.confusion(matrix), out / "confusion.png")


def classify(path):
    """Loads a model and labels the held-out images; draws the first few."""
    model = network()
    model.load_state_dict(rg.load(path)["weights"])
    model.eval()
    images, labels = load_parts()[2]
    with rg.no_grad():
        probabilities = model(images).softmax(1)
    predicted = probabilities.argmax(1)
    for i in range(3):
        for row in images[i, 0].tolist():
            print("    " + "".join(" .:*#"[round(4 * ink)] * 2 for ink in row))
        digit = predicted[i].item()
        share = probabilities[i, digit].item()
        print(f"this is a {digit} ({share:.1%} sure); it was meant as a {labels[i].item()}\n")
    right = (predicted == labels).sum().item()
    print(f"second process: {right} of {len(labels)} held-out digits right")


def parse():
    parser = argparse.ArgumentParser(description="Train and test a network on digits.")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="how many runs, from --seed on")
    parser.add_argument("--out", type=Path, default=Path("runs/digits"))
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--smoke", action="store_true", help="one epoch, to see that it runs")
    parser.add_argument("--classify", type=Path, metavar="MODEL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    threads = 1 if options.threads is None else options.threads
    if min(options.epochs, options.seeds, threads) < 1:
        parser.error("--epochs, --seeds and --threads must be at least 1")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"--out {options.out} is no folder")
    if options.device == "gpu" and not rg.is_gpu_available():
        parser.error(f"--device gpu: {rg.gpu.why_not()}")
    if options.device == "gpu" and rg.gpu.info()["software"]:
        print(f"the GPU {rg.gpu.info()['name']} is software, far slower than the CPU")
    return options


if __name__ == "__main__":
    main()
