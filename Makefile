# `make demo` trains the digits model in a fresh virtual environment; `make test` is what CI runs.
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
CARGO_FLAGS ?=
# On two cores the software GPU is quickest on the calling thread.
export LP_NUM_THREADS ?= 0

.PHONY: demo test test-all build lint types rust-test py-test examples generate mutate validate bench clean

$(VENV)/.made: pyproject.toml
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet "maturin>=1.9,<2" "numpy>=2" matplotlib scikit-learn
	touch $@

$(VENV)/.tested: pyproject.toml $(VENV)/.made
	$(PY) -m pip install --quiet hypothesis ml_dtypes pyright pytest pytest-xdist ruff safetensors scipy
	touch $@

SOURCES := $(shell find rust -name '*.rs' -o -name '*.wgsl' -o -name Cargo.toml) .cargo/config.toml Cargo.toml Cargo.lock pyproject.toml

$(VENV)/.built: $(SOURCES) $(VENV)/.made
	@# maturin writes into the file that is there: a process that has it loaded would run the new code by old addresses.
	rm -f python/rubigo/_core.abi3.so
	VIRTUAL_ENV=$(abspath $(VENV)) $(VENV)/bin/maturin develop --release $(CARGO_FLAGS) 
	touch $@

build: $(VENV)/.built

demo: build
	$(PY) examples/digits.py --out runs/digits

lint: $(VENV)/.tested
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(VENV)/bin/ruff format --check python tests benches examples
	$(VENV)/bin/ruff check python tests benches examples

types: $(VENV)/.tested build
	$(PY) tests/generate.py --check
	$(VENV)/bin/pyright --pythonpath $(PY)

rust-test:
	cargo test --workspace --quiet -- --test-threads=1

py-test: $(VENV)/.tested build
	$(PY) -m pytest -n 2

examples: build
	$(PY) examples/digits.py --smoke --out $(shell mktemp -d)

# Cheapest first.
test: lint build types rust-test py-test examples

test-all: test
	RUBIGO_TEST_ALL=1 $(PY) -m pytest -n 2
	for isa in portable avx2; do RUBIGO_ISA=$$isa RUBIGO_TEST_ALL=1 $(PY) -m pytest -n 2 tests/test_ops.py tests/test_sweep.py || exit 1; done
	$(MAKE) validate
	$(MAKE) mutate

# Rewrites python/rubigo/_ops.py and _core.pyi from the op table.
generate: build
	$(PY) tests/generate.py

# The GPU tests under Vulkan's validation layer (Debian: vulkan-validationlayers), synchronization included, with
# lavapipe's own threads. Its greeting must be there, and no complaint.
validate: $(VENV)/.tested build
	log=$$(mktemp -d) && \
	printf 'khronos_validation.%s\n' 'debug_action = VK_DBG_LAYER_ACTION_LOG_MSG' 'report_flags = error,warn,info' \
	    'log_filename = stdout' 'enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT' \
	    > $$log/vk_layer_settings.txt && \
	env -u LP_NUM_THREADS VK_LAYER_SETTINGS_PATH=$$log VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation \
	    $(PY) -m pytest -n 0 -s -q -k gpu > $$log/said; status=$$?; tail -n 3 $$log/said; [ $$status = 0 ] && \
	grep -q createinstance-status-message $$log/said && ! grep -A 3 -E 'Validation (Error|Warning)' $$log/said

bench: build
	$(PY) benches/vs_torch.py

clean:
	rm -rf target $(VENV) runs

# A build that can disturb its ops; every disturbance must be caught. The next `make build` restores the plain one.
mutate: $(VENV)/.tested
	rm -f $(VENV)/.built
	VIRTUAL_ENV=$(abspath $(VENV)) $(VENV)/bin/maturin develop --release --features mutate
	$(PY) tests/mutate.py
