"""The command line and the digits example, run as a user runs them."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rubigo as rg
from rubigo.cli import main

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

EXAMPLE = Path(__file__).parent.parent / "examples" / "digits.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert main(["train", "digits", "--smoke", "--seed", "1", "--out", str(out)]) == 0
    return out


def test_train_writes_a_run(trained):
    assert {path.name for path in trained.iterdir()} == {
        "model.safetensors", "metrics.json", "curves.png", "confusion.png",
    }  # fmt: skip
    found = json.loads((trained / "metrics.json").read_text())
    assert found["accuracy"] > 0.8 and found["epochs"] == 1 and found["seed"] == 1
    assert len(found["classes"]) == 10 and len(found["weights_sha256"]) == 64
    for picture in ("curves.png", "confusion.png"):
        assert (trained / picture).read_bytes().startswith(b"\x89PNG")


def test_predict_gives_what_training_measured(trained, capsys):
    assert main(["predict", str(trained / "model.safetensors")]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    right = sum(row["label"] == row["truth"] for row in rows)
    assert len(rows) == 360 and f"{right} of 360 right" in err
    found = json.loads((trained / "metrics.json").read_text())
    assert right / 360 == found["accuracy"]


def test_several_seeds_have_a_mean(trained, tmp_path, capsys):
    command = ["train", "digits", "--smoke", "--seed", "1", "--seeds", "2", "--out", str(tmp_path)]
    assert main(command) == 0
    assert "mean of 2 seeds 0." in capsys.readouterr().out
    one = json.loads((trained / "metrics.json").read_text())
    two = json.loads((tmp_path / "metrics.json").read_text())
    assert [run["seed"] for run in two["runs"]] == [1, 2] and one["runs"] == two["runs"][:1]
    assert one["accuracy_mean"] == one["accuracy"] == two["accuracy"]
    assert two["accuracy_mean"] == sum(run["accuracy"] for run in two["runs"]) / 2
    assert two["accuracy_stdev"] > 0 == one["accuracy_stdev"]
    files = [(folder / "model.safetensors").read_bytes() for folder in (trained, tmp_path)]
    assert files[0] == files[1]  # that of the first seed


def test_predict_does_not_overwrite_its_input(trained, tmp_path, capsys):
    model, data = tmp_path / "model.safetensors", tmp_path / "images.csv"
    model.write_bytes((trained / "model.safetensors").read_bytes())
    np.savetxt(data, np.full((2, 64), 16), delimiter=",")
    (tmp_path / "link.csv").symlink_to(data)
    before = model.read_bytes(), data.read_bytes()
    for out in (model, data, tmp_path / "link.csv", tmp_path / ".." / tmp_path.name / data.name):
        assert main(["predict", str(model), "--data", str(data), "--out", str(out)]) == 1
        out, err = capsys.readouterr()
        assert out == "" and "would overwrite the input" in err and err.count("\n") == 1
    assert (model.read_bytes(), data.read_bytes()) == before


def test_help_says_what_predict_reads(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert "N x 64 values from 0 to 16" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["npy", "csv", "csv with names"])
def test_predict_reads_files(trained, tmp_path, kind):
    from sklearn.datasets import load_digits

    images = load_digits().images[:20]
    path = tmp_path / f"images.{kind[:3]}"
    if kind == "npy":
        np.save(path, images)
    else:
        names = ",".join(f"p{i}" for i in range(64)) if "names" in kind else ""
        rows = images.reshape(20, 64)
        np.savetxt(path, rows, delimiter=",", fmt="%g", header=names, comments="")
    out = tmp_path / "labels.csv"
    command = ["predict", str(trained / "model.safetensors"), "--data", str(path)]
    assert main([*command, "--out", str(out)]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["index"] for row in rows] == [str(i) for i in range(20)]
    assert sum(int(row["label"]) == i % 10 for i, row in enumerate(rows)) >= 15


def pickled(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


BAD_FILES = [
    ("a.npy", lambda p: p.write_bytes(b""), "a.npy"),
    ("a.npy", pickled, "Object arrays"),
    ("a.npy", lambda p: np.save(p, np.zeros((3, 65))), r"(3, 65)"),
    ("a.npy", lambda p: np.save(p, np.zeros((0, 64))), r"(0, 64)"),
    ("a.npy", lambda p: np.save(p, np.full((2, 64), 17.0)), "row 0 has values outside"),
    ("a.npy", lambda p: np.save(p, np.full((2, 64), np.nan)), "row 0 has values outside"),
    ("a.npy", lambda p: np.save(p, np.full((2, 64), 0.5)), "multiply by 16"),
    ("a.npy", lambda p: np.save(p, np.full((2, 64), "x")), "expected numbers"),
    ("a.csv", lambda p: p.write_text("1,2,x\n"), "x"),
    ("a.csv", lambda p: p.write_text(""), "a.csv"),
    ("a.txt", lambda p: p.write_text("1"), ".npy and .csv"),
    ("a.npy", lambda p: None, "a.npy"),
]


@pytest.mark.parametrize("case", range(len(BAD_FILES)))
def test_bad_data_is_one_line_on_stderr(trained, tmp_path, capsys, case):
    name, make, message = BAD_FILES[case]
    make(tmp_path / name)
    command = ["predict", str(trained / "model.safetensors"), "--data", str(tmp_path / name)]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("rubigo: ") and message in err and err.count("\n") == 1
    assert "Traceback" not in err


def test_a_file_that_is_no_model(tmp_path, capsys):
    path = tmp_path / "none.safetensors"
    assert main(["predict", str(path)]) == 1
    assert capsys.readouterr().err == f"rubigo: cannot read {path}: No such file or directory\n"
    path.write_text("no model " * 9)
    assert main(["predict", str(path)]) == 1
    assert "; hint: the file is damaged" in capsys.readouterr().err
    rg.save({"a": rg.zeros(1)}, tmp_path / "other.safetensors")
    assert main(["predict", str(tmp_path / "other.safetensors")]) == 1
    assert "not a model of the digits recipe" in capsys.readouterr().err
    with pytest.raises(ValueError, match="not a model"):
        main(["--debug", "predict", str(tmp_path / "other.safetensors")])


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["dance"],
        ["train"],
        ["train", "cats"],
        ["train", "digits", "--epochs", "0"],
        ["train", "digits", "--epochs", "x"],
        ["train", "digits", "--seed", "-1"],
        ["train", "digits", "--threads", "0"],
        ["train", "digits", "--seeds", "0"],
        ["train", "digits", "--out", ""],
        ["predict", ""],
        ["predict", "model", "--out", ""],
        ["train", "digits", "--epochs", "1.5"],
        ["train", "digits", "--seed", str(2**64)],
        ["train", "digits", "--device", "cuda"],
        ["predict"],
        ["info", "x"],
    ],
)
def test_a_wrong_command_line_exits_with_2(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    assert "usage: rubigo" in capsys.readouterr().err


@pytest.mark.parametrize("refused", ["file", "inside a file", "no permission"])
def test_a_folder_that_cannot_be_written_is_known_before_the_training(
    refused, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    if refused == "no permission":
        monkeypatch.setattr("os.access", lambda path, mode: False)
    else:
        out.write_text("")
    if refused == "inside a file":
        out = out / "run"
    assert main(["train", "digits", "--smoke", "--out", str(out)]) == 1
    said, err = capsys.readouterr()
    assert said == "" and err.startswith(f"rubigo: {out}: ") and err.count("\n") == 1


def test_a_software_gpu_is_announced(gpu, tmp_path, capsys, monkeypatch):
    def run(*args, **options):
        raise RuntimeError("far enough")

    monkeypatch.setattr("rubigo.train.recipes.digits.run", run)
    assert main(["train", "digits", "--device", gpu, "--out", str(tmp_path)]) == 1
    assert ("is software" in capsys.readouterr().err) == rg.gpu.info()["software"]


def run_with(command, stdout):
    """Runs the command with its standard output as given: a shell redirection."""
    line = f'"$0" -m rubigo {command} {stdout}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable], capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")
def test_an_output_that_is_closed_or_full(trained):
    model = trained / "model.safetensors"
    for command in ("info", f"predict {model}"):
        done = run_with(command, "| true; exit ${PIPESTATUS[0]}")
        assert done.returncode in (0, 1) and "rror" not in done.stderr
    assert run_with("info", ">&-").returncode == 0
    done = run_with(f"predict {model}", ">&-")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "--out" in done.stderr
    if Path("/dev/full").exists():
        done = run_with("info", "> /dev/full")
        assert done.returncode == 1 and done.stderr.count("\n") == 1


def test_info_describes_the_machine():
    done = subprocess.run(
        [sys.executable, "-m", "rubigo", "info"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == f"rubigo    {rg.__version__}"
    for name in ("Python", "threads", "SIMD", "memory", "GPUs"):
        assert any(line.startswith(name) for line in lines)
    assert "unknown (" not in done.stdout


def test_info_survives_what_it_cannot_find(monkeypatch, capsys):
    from rubigo import cli

    def broken():
        raise OSError("no such counter")

    monkeypatch.setattr(cli, "_memory", broken)
    assert main(["info"]) == 0
    assert "memory    unknown (OSError: no such counter)" in capsys.readouterr().out


def test_the_example_runs_and_matches_the_command(trained, tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--smoke", "--seed", "1", "--out", tmp_path],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "this is a " in done.stdout
    found = json.loads((tmp_path / "metrics.json").read_text())
    command = json.loads((trained / "metrics.json").read_text())
    assert found["weights_sha256"] == command["weights_sha256"]
    assert found.keys() == command.keys() and found["runs"] == command["runs"]
    right = round(found["accuracy"] * 360)
    assert f"second process: {right} of 360 held-out digits right" in done.stdout


@pytest.mark.parametrize("wrong", [["--threads", "0"], ["--out", __file__], ["--device", "gpu"]])
def test_the_example_refuses_in_one_line(wrong):
    done = subprocess.run(
        [sys.executable, EXAMPLE, *wrong],
        capture_output=True, text=True, timeout=120, env={**os.environ, "RUBIGO_GPU": "none"},
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "digits.py: error: " + wrong[0] in done.stderr.replace("--epochs, --seeds and ", "")
