# The four commands, the same here and in CI: check, fix, test, docs. And `demo`, which does the main job.
PYTHON ?= python3
BIN := .venv/bin
export ORT_DISABLE_TELEMETRY := 1
# Tests start hundreds of interpreters: each would compile what the one before it had compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long check fix docs env models lock peers fuzz benchmarks faults simulate repro aarch64

demo: env
	$(BIN)/muster demo $(DEMO)

# Whole files go to one process each, so that what a file shares is made once; in the order of tests/conftest.py.
# Twice as many processes as cores, sixteen at most: many wait, for a health window to end, a daemon to start, a disk.
test: env
	cores=$$(nproc || echo 2); $(BIN)/pytest --numprocesses $$((cores < 8 ? 2 * cores : 16)) --dist loadfile --no-loadscope-reorder

# What takes its time, one after the other: the demo's story with a mixed fleet and its daemon killed twenty times; builds
# and trainings on other CPUs, emulated.
test-long: env
	$(BIN)/pytest -m long

# Since this commit the gate judges every commit of this repository; a shallow clone does not hold it.
GATE_SINCE := 0b8920f787029afbfedff30b68951474d8899a31

check: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/muster check --work-tree
	$(BIN)/muster policy test
	if git cat-file -e $(GATE_SINCE) 2>/dev/null; then $(BIN)/muster check --each $(GATE_SINCE); else echo "history: not here, not judged"; fi

fix: env
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Everything that is generated from code: JSON Schemas, the table of verbs, the diagram of phases.
docs: env
	$(BIN)/muster schemas
	$(BIN)/python docs/generate.py

# Trains the example's source models into the store, and cuts its snapshots (scikit-learn's digits, exact arithmetic).
models: env
	$(BIN)/python -m training.meter_reader

env: .venv/.ready

# A stamp newer than the lock means: installed. The lock is hash-pinned, so the same everywhere.
.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

lock: env
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" builders/onnxruntime-1.31.in -o builders/onnxruntime-1.31.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" builders/onnxruntime-1.30.in -o builders/onnxruntime-1.30.lock
	sed -i '1i # Python 3.11' builders/onnxruntime-1.30.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" fuzz/requirements.in -o fuzz/requirements.lock

# Coverage-guided, outside of the tests: FUZZ_SECONDS for each target. What it finds ends it with the input that did it.
# Then every HTTP route for FUZZ_HTTP_SECONDS, with requests made from the OpenAPI document.
FUZZ_SECONDS ?= 150
FUZZ_HTTP_SECONDS ?= 300
fuzz: env
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r fuzz/requirements.lock
	for target in yaml evidence body documents; do $(BIN)/python fuzz/fuzz.py $$target -max_total_time=$(FUZZ_SECONDS) -len_control=0 -max_len=4096 -artifact_prefix=/tmp/ || exit 1; done
	$(BIN)/python fuzz/fuzz_http.py $(FUZZ_HTTP_SECONDS)

# Every recipe on every architecture on every CPU that this machine can be: prints the digests, writes them to docs/.
# Takes half an hour for each emulated CPU, and goes on where it was ended; `make peers` and `make aarch64` bring more.
repro: env
	$(BIN)/python docs/reproduce.py $(REPRO)

# An aarch64 Python with the builder's packages under an emulator that runs them, below .peers/: for `make repro`.
aarch64: env
	PYTHON=$(abspath $(BIN)/python) sh tests/aarch64.sh .peers/aarch64

# Measured side by side with a peer; figures depend on the machine, so none of them is a test.
benchmarks: env
	$(BIN)/python benchmarks/check_speed.py
	$(BIN)/python benchmarks/signing_speed.py
	$(BIN)/python benchmarks/build_speed.py
	$(BIN)/python benchmarks/plan_scale.py
	$(BIN)/python benchmarks/agent_small.py
	$(BIN)/python benchmarks/telemetry_cost.py
	$(BIN)/python benchmarks/serve_load.py

# A hundred agents behind a proxy that spoils nearly every third answer, through four releases and back: minutes. The
# tests do less of the same. FAULTS: agents, releases, share of spoiled answers, seed.
FAULTS ?= 100 4 0.3 7
faults: env
	PYTHONPATH=.:tests:tests/agent $(BIN)/python tests/agent/fault_fleet.py $(FAULTS)

# Every shipped scenario with ten million simulated devices, beside the policies that users have today; writes the tables
# of docs/rollouts.md. Takes about twenty minutes on two cores.
simulate: env
	$(BIN)/muster simulate $(filter-out scenarios/policy.yaml,$(wildcard scenarios/*.yaml)) --page docs/rollouts.md

# Debian programs and npm packages that some tests measure us against; those tests skip with their reason where they are
# missing. Packages named in tests/<part>/peers/ are installed below .peers/<part>/.
peers:
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user prometheus swupdate nginx-light wrk; else echo "peers: needs apt-get and root; skipped"; fi
	if command -v npm >/dev/null; then for part in tests/*/peers; do into=.peers/$$(basename $$(dirname $$part)); mkdir -p $$into && cp -R $$part/. $$into && npm ci --silent --prefix $$into || exit 1; done; else echo "peers: needs npm; skipped"; fi
