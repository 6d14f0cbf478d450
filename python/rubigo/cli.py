"""The command `rubigo`: train a recipe, predict with its model, describe the machine.

Results go to the standard output, progress and errors to the error stream. The exit status is
0 when all went well, 1 after an error, 2 for a wrong command line and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import rubigo as rg


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status.

    >>> main(["train", "--help"])
    Traceback (most recent call last):
    SystemExit: 0
    """
    options = _parser().parse_args(argv)
    try:
        if getattr(options, "threads", None) is not None:
            rg.set_num_threads(options.threads)
        options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("rubigo: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone; Python would complain again when it closes the stream.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.debug:
            raise
        print(f"rubigo: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        # The core's texts hold the path, and the number once more.
        where = "" if error.filename is None else f"{error.filename}: "
        return where + error.strerror.removesuffix(f" (os error {error.errno})")
    text = str(error).replace("\n  hint:", "; hint:")
    return " ".join(f"{type(error).__name__}: {text}".split())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rubigo", description="Deep learning on CPU and GPU.")
    parser.add_argument("--version", action="version", version=f"rubigo {rg.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="train a recipe and write its model")
    train.add_argument("recipe", choices=["digits"])
    train.add_argument("--epochs", type=_positive, default=10, help="default: 10")
    train.add_argument("--seed", type=_natural, default=0, help="default: 0")
    train.add_argument("--seeds", type=_positive, default=1, help="how many runs, from --seed on")
    train.add_argument("--device", default="cpu", choices=["cpu", "gpu"], help="default: cpu")
    train.add_argument("--out", type=_path, default=Path("runs/digits"), metavar="DIR")
    train.add_argument("--threads", type=_positive, help="CPU threads")
    train.add_argument("--smoke", action="store_true", help="one epoch, to see that it runs")
    train.set_defaults(run=_train)

    predict = commands.add_parser("predict", help="apply a trained model")
    predict.add_argument("model", type=_path, metavar="MODEL.safetensors")
    predict.add_argument(
        "--data",
        default="digits",
        help="digits (the test part), or a .npy or .csv file of N x 64 values from 0 to 16, the "
        "rows of 8 x 8 images",
    )
    predict.add_argument("--out", type=_path, help="a .csv file; the standard output by default")
    predict.add_argument("--threads", type=_positive, help="CPU threads")
    predict.set_defaults(run=_predict)

    info = commands.add_parser("info", help="describe this machine as rubigo sees it")
    info.set_defaults(run=_info)
    return parser


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must name a file or a folder, got ''")
    return Path(text)


def _positive(text: str) -> int:
    return _whole(text, 1, "at least 1")


def _natural(text: str) -> int:
    return _whole(text, 0, "not negative")


def _whole(text: str, least: int, rule: str) -> int:
    # The core takes seeds and counts of 64 bits.
    if not (text.lstrip("+-").isdecimal() and least <= int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"must be a whole number, {rule}, got {text!r}")
    return int(text)


def _train(options: argparse.Namespace) -> None:
    from .train.recipes import digits

    if options.device == "gpu" and rg.gpu.info()["software"]:
        name = rg.gpu.info()["name"]
        print(f"rubigo: the GPU {name} is software, far slower than the CPU", file=sys.stderr)
    epochs = 1 if options.smoke else options.epochs
    result = digits.run(
        options.out,
        epochs=epochs,
        seed=options.seed,
        seeds=options.seeds,
        device=options.device,
        verbose=1,
    )
    (options.out / "metrics.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"test accuracy {result['accuracy']:.4f} after {result['seconds']:.1f} s")
    if options.seeds > 1:
        spread = f"{result['accuracy_mean']:.4f}, standard deviation {result['accuracy_stdev']:.4f}"
        print(f"mean of {options.seeds} seeds {spread}")
    print(f"written to {options.out}: model.safetensors, metrics.json, curves.png, confusion.png")


def _predict(options: argparse.Namespace) -> None:
    from .train.recipes import digits

    for source in (options.model, Path(options.data)):
        if options.out is not None and _is_same(options.out, source):
            raise ValueError(f"--out {options.out} would overwrite the input: give another name")
    model = digits.load_model(options.model)
    truth: list[int] | None = None
    if options.data == "digits":
        _, _, (images, labels) = digits.split()
        truth = labels.tolist()
    else:
        images = digits.read_images(options.data)
    with rg.no_grad():
        probabilities = model(images).softmax(1)
    best = probabilities.argmax(1).tolist()
    share = [row[label] for row, label in zip(probabilities.tolist(), best, strict=True)]
    header = ["index", "label", "probability"] + (["truth"] if truth else [])
    columns = [range(len(best)), best, [f"{value:.4f}" for value in share]]
    rows = zip(*columns, *([truth] if truth else []), strict=True)
    if options.out is None:
        if sys.stdout is None:
            raise ValueError("the standard output is closed: pass --out FILE")
        _write_csv(sys.stdout, header, rows)
    else:
        with open(options.out, "w", newline="", encoding="utf-8") as file:
            _write_csv(file, header, rows)
    if truth:
        right = sum(a == b for a, b in zip(best, truth, strict=True))
        print(f"{right} of {len(truth)} right", file=sys.stderr)


def _is_same(first: Path, second: Path) -> bool:
    return first.exists() and second.exists() and first.samefile(second)


def _write_csv(file: Any, header: list[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def _info(options: argparse.Namespace) -> None:
    print(f"rubigo    {rg.__version__}")
    print(f"Python    {platform.python_version()} on {platform.platform()}")
    for name, describe in (
        ("threads", _threads),
        ("SIMD", _simd),
        ("memory", _memory),
        ("GPUs", _gpus),
    ):
        for line in _guarded(describe):
            print(f"{name:<9} {line}")
            name = ""


def _guarded(describe: Callable[[], list[str]]) -> list[str]:
    """A part of the machine that cannot be described is said to be so; the rest still is."""
    try:
        return describe()
    except Exception as error:
        return [f"unknown ({type(error).__name__}: {error})"]


def _threads() -> list[str]:
    if "RUBIGO_NUM_THREADS" in os.environ:
        reason = "set by RUBIGO_NUM_THREADS"
    else:
        reason = f"of {os.cpu_count()} processors, within affinity and cgroup quota"
    return [f"{rg.get_num_threads()} ({reason})"]


def _simd() -> list[str]:
    found = rg.cpu.features()
    return [f"{found['isa']} (this machine has {', '.join(found['available'])})"]


def _memory() -> list[str]:
    limit = rg.cpu.memory_stats()["limit_bytes"]
    return [f"limit {limit / 2**30:.1f} GiB"]


def _gpus() -> list[str]:
    adapters = rg.gpu.adapters()
    lines = [f"{a['name']} ({a['backend']}, {a['device_type']}): {a['reason']}" for a in adapters]
    why_not = rg.gpu.why_not()
    if why_not is not None:
        return [*lines, f"none in use: {why_not}"]
    found = rg.gpu.info()
    half = "with" if found["has_f16"] else "without"
    lines.append(
        f"in use: {found['name']}, driver {found['driver']}, {half} f16, subgroups of "
        f"{found['subgroup_min']} to {found['subgroup_max']}, buffers up to "
        f"{found['max_buffer_bytes'] / 2**20:.0f} MiB"
    )
    return lines
