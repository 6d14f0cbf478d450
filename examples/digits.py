"""Handwritten digits, from data to a saved model that a second process uses.

    python examples/digits.py                      # CPU, a few seconds
    python examples/digits.py --device gpu
    python examples/digits.py --seeds 5            # five runs, their mean and spread

Writes into runs/digits: model.safetensors, metrics.json, curves.png, confusion.png.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import rubigo as rg
from rubigo.train.recipes import digits


def main() -> None:
    options = parse()
    if options.threads is not None:
        rg.set_num_threads(options.threads)
    if options.classify is not None:
        classify(options.classify)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    epochs = 1 if options.smoke else options.epochs

    # A fifth of the 1797 images is for the test alone; a tenth of the rest watches the training.
    train, validation, test = digits.split(validation=0.1)
    print(f"{len(train[0])} images to train, {len(validation[0])} to watch, {len(test[0])} to test")

    results = []
    for seed in range(options.seed, options.seed + options.seeds):
        rg.manual_seed(seed)
        model = digits.network()
        if seed == options.seed:
            print(rg.train.summary(model, (1, 1, 8, 8)))
        trainer = digits.trainer(model, digits.steps(len(train[0]), epochs), options.device)

        started = time.perf_counter()
        trainer.fit(
            train,
            epochs,
            validation=validation,
            batch_size=digits.BATCH_SIZE,
            seed=seed,
            verbose=1,
        )
        result = digits.report(trainer, test, time.perf_counter() - started)
        results.append({"seed": seed, **result})
        print(f"seed {seed}: test accuracy {result['accuracy']:.4f} in {result['seconds']:.1f} s")

        # The first run leaves its model and its pictures.
        if seed == options.seed:
            digits.save_model(model, options.out / "model.safetensors")
            digits.save_pictures(trainer, test, options.out)

    (options.out / "metrics.json").write_text(json.dumps(summarise(results), indent=1) + "\n")
    print(f"written to {options.out}: model.safetensors, metrics.json, curves.png, confusion.png")

    # A process of its own shows that the file alone is enough.
    command = [sys.executable, __file__, "--classify", str(options.out / "model.safetensors")]
    raise SystemExit(subprocess.run(command).returncode)


def summarise(results: list[dict]) -> dict:
    """The first run's figures, and mean and spread of the accuracy over all runs."""
    accuracies = [result["accuracy"] for result in results]
    return {
        **results[0],
        "accuracy_mean": statistics.fmean(accuracies),
        "accuracy_stdev": statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        "runs": [
            {key: run[key] for key in ("seed", "accuracy", "seconds", "weights_sha256")}
            for run in results
        ],
    }


def classify(path: Path) -> None:
    """Loads a model and labels the held-out images; draws the first few."""
    model = digits.load_model(path)
    _, _, (images, labels) = digits.split(validation=0.1)
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train and test a network on digits.")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--epochs", type=int, default=digits.EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="how many runs, from --seed on")
    parser.add_argument("--out", type=Path, default=Path("runs/digits"))
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--smoke", action="store_true", help="one epoch, to see that it runs")
    parser.add_argument("--classify", type=Path, metavar="MODEL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epochs < 1 or options.seeds < 1:
        parser.error("--epochs and --seeds must be at least 1")
    return options


if __name__ == "__main__":
    main()
