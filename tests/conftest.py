"""What all tests share: the devices, the poisoned memory and the count of tested cells."""

import importlib.util
import os
import pathlib
import signal
import tempfile

import pytest

_LAVAPIPE = "/usr/share/vulkan/icd.d/lvp_icd.{}.json"


def _prepare_environment():
    """Chooses software Vulkan unless told otherwise; Mesa wants a run-time folder."""
    if "VK_DRIVER_FILES" not in os.environ and "VK_ICD_FILENAMES" not in os.environ:
        machine = os.uname().machine if hasattr(os, "uname") else ""
        driver = _LAVAPIPE.format("aarch64" if machine == "arm64" else machine)
        if os.path.exists(driver):
            os.environ["VK_DRIVER_FILES"] = driver
    if "XDG_RUNTIME_DIR" not in os.environ:
        os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="rubigo-test-")
    os.environ.setdefault("LP_NUM_THREADS", "0")
    # A shell's background jobs ignore Ctrl-C, and so would everything they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_prepare_environment()

from rubigo import _core  # noqa: E402

# Helpers that assert.
pytest.register_assert_rewrite("twins")


def pytest_configure(config):
    _core.count_cells(True)
    _core.cpu_poison(True)


def gpu_or_skip():
    """Skips the test, with the reason, where no GPU opens; in CI that is a failure."""
    why = _core.gpu_error()
    if why is None:
        return
    if os.environ.get("RUBIGO_REQUIRE_GPU") == "1":
        pytest.fail(f"RUBIGO_REQUIRE_GPU is set and no GPU opens: {why}", pytrace=False)
    pytest.skip(f"no GPU: {why}")


@pytest.fixture(params=["cpu", "gpu"])
def device(request):
    """Each device in turn."""
    if request.param == "gpu":
        gpu_or_skip()
    return request.param


@pytest.fixture
def gpu():
    """The GPU's name, where there is one."""
    gpu_or_skip()
    return "gpu"


def _folder(config):
    cache = getattr(config, "cache", None)
    return pathlib.Path(cache.mkdir("rubigo-cells")) if cache is not None else None


def pytest_sessionstart(session):
    # The controller (or the only process) clears what an earlier run left.
    folder = _folder(session.config)
    if folder is not None and not hasattr(session.config, "workerinput"):
        for old in folder.glob("*.txt"):
            old.unlink()


def pytest_sessionfinish(session):
    folder = _folder(session.config)
    cells = _core.take_cells()
    if folder is not None and cells:
        worker = getattr(session.config, "workerinput", {}).get("workerid", "main")
        (folder / f"{worker}.txt").write_text("\n".join(cells) + "\n")


def pytest_terminal_summary(terminalreporter, config):
    if importlib.util.find_spec("torch") is None and not hasattr(config, "workerinput"):
        terminalreporter.write_line(
            "PyTorch is not installed: most oracles were skipped (pip install torch==2.13.0)"
        )
    folder = _folder(config)
    if folder is None or hasattr(config, "workerinput"):
        return
    cells = set()
    for part in folder.glob("*.txt"):
        cells.update(part.read_text().split())
    if not cells:
        return
    fields = list(zip(*(cell.split("|") for cell in cells), strict=True))
    names = ("ops", "dtypes", "layouts", "devices", "orders")
    counts = ", ".join(f"{len(set(f))} {n}" for f, n in zip(fields, names, strict=True))
    on_gpu = sum("|gpu" in cell for cell in cells)
    terminalreporter.write_line(
        f"cells run: {len(cells)} (of {counts}), {on_gpu} of them on the GPU; listed in {folder}"
    )
