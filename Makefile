# make demo     a whole line on simulators, with a board to look at
# make test     everything that proves it, against real servers
# make check    style, types, import direction
# make bench    the figures
# make install  /opt/lineside and the systemd units (as root); HID=yes for guns in keyboard mode
# make soak     the long runs
# make lock     renew the lock files (needs uv)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := .stamps

.PHONY: demo test check bench soak install lock clean always

demo: $(STAMPS)/run
	@$(BIN)/lineside demo $(DEMO_ARGS)

test: $(STAMPS)/dev
	$(BIN)/pytest -m "not long" -n 4 --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

check: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/unit/test_directions.py

bench: $(STAMPS)/dev
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

soak: $(STAMPS)/dev
	$(BIN)/pytest -m long $(TEST_ARGS)

install:
	@systemd/install.sh --check
	@.ci/prepare install "$(PYTHON)" /opt/lineside/venv $(if $(HID),hid)
	@systemd/install.sh

$(STAMPS)/run: requirements.lock pyproject.toml .ci/prepare $(STAMPS)/place
	@.ci/prepare run "$(PYTHON)" $(VENV)
	@touch $@

$(STAMPS)/dev: requirements-dev.lock requirements-hid.lock tests/node_opcua/package-lock.json pyproject.toml .ci/prepare $(STAMPS)/place
	@.ci/prepare dev "$(PYTHON)" $(VENV)
	@touch $@ $(STAMPS)/run

# Written anew when the clone lies elsewhere than last time: a venv names its place in every script.
$(STAMPS)/place: always
	@mkdir -p $(STAMPS)
	@[ "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" ] || printf '%s\n' "$(CURDIR)" >$@

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --extra build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	sed -n 's/^ *"\(evdev[^"]*\)".*/\1/p' pyproject.toml | uv pip compile -q --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url - -o requirements-hid.lock

clean:
	rm -rf $(VENV) $(STAMPS) tests/node_opcua/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .bench-*
