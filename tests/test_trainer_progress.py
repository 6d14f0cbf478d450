"""What a run says: the lines and the bar on a terminal, and the logs in files."""

import csv
import io
import json
import re
import sys

import pytest
from training import blobs, trainer

from rubigo.train import CSVLogger, JSONLogger


def test_loggers(tmp_path):
    run = trainer([CSVLogger(tmp_path / "a" / "log.csv"), JSONLogger(tmp_path / "log.jsonl")])
    run.fit(blobs(), 2, verbose=0)
    with open(tmp_path / "a" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == run.history["loss"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [line["lr"] for line in lines] == run.history["lr"]
    assert json.loads(run.history.to_json(tmp_path / "h.json"))["loss"] == run.history["loss"]


def test_a_resumed_log_has_each_epoch_once(tmp_path):
    path = tmp_path / "log.jsonl"
    run = trainer([JSONLogger(path)])
    run.fit(blobs(), 2, verbose=0)
    run.save(tmp_path / "run.safetensors")
    run.fit(blobs(), 3, verbose=0)
    with open(path, "a") as file:
        file.write('{"epoch": 4, "lo')  # killed while it wrote
    again = trainer([JSONLogger(path)])
    again.load(tmp_path / "run.safetensors")
    again.fit(blobs(), 4, verbose=0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    trainer([JSONLogger(path)]).fit(blobs(), 1, verbose=0)
    assert len(path.read_text().splitlines()) == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "verbose", "lines"),
    [(io.StringIO, "auto", 0), (io.StringIO, 1, 2), (io.StringIO, 0, 0), (Terminal, 0, 0)],
)
def test_quiet_off_a_terminal(monkeypatch, stream, verbose, lines):
    monkeypatch.setattr(sys, "stderr", stream())
    trainer().fit(blobs(), 2, verbose=verbose)
    text = sys.stderr.getvalue()
    assert len(text.splitlines()) == lines
    assert "\r" not in text


def test_bar_rewrites_one_line_per_epoch(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    trainer().fit(blobs(), 2)
    text = sys.stderr.getvalue()
    assert text.count("\n") == 2 and text.count("\r") > 2
    assert "epoch 2/2" in text and "accuracy" in text


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_no_number_is_cut_however_narrow_the_terminal(monkeypatch, columns):
    from rubigo.train import progress

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", str(columns))
    run = trainer()
    run.fit(blobs(), 2, validation=blobs(seed=1))
    lines = re.split(r"[\r\n]+", sys.stderr.getvalue())
    assert all(len(line) < columns for line in lines)
    for line in lines:
        for word, number in re.findall(r"(lr|ETA|accuracy) ?(\S*)", line):
            assert number, (word, line)
    # At the end of an epoch all is said, in more lines where it must be.
    said = " ".join(sys.stderr.getvalue().split())
    last = {name: f"{values[-1]:.4g}" for name, values in run.history.items()}
    for name in ("loss", "accuracy"):
        told = f"{name} {last[name]}", f"val_{name} {last[f'val_{name}']}"
        assert f"{told[0]} val {last[f'val_{name}']}" in said or all(t in said for t in told)
    assert columns == 80 or f"lr {last['lr']}" in said
    # In one line on an ordinary terminal.
    assert sys.stderr.getvalue().count("\n") == 2 or columns < 80
    if columns >= 80:
        assert re.search(r"ETA \d+ s  loss \S+  accuracy \S+  \[#* *\]", sys.stderr.getvalue())


def test_lines_on_a_terminal_too_if_asked_for(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    trainer().fit(blobs(), 2, verbose=2)
    assert "\r" not in sys.stderr.getvalue() and sys.stderr.getvalue().count("\n") == 2
