# make demo: the pipeline on the clip and weights in this repository. make test: checks and tests.
# Another build of torch: make TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130" install

PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin

# Torch-TensorRT without TensorRT: the tests run its Python code over a fake of it, pinned because that code is looked into.
TORCH_TENSORRT := torch-tensorrt==2.13.0

# To which the tests hand over what was found; it asks for OpenCV with windows, which would replace the headless one.
SUPERVISION := supervision==0.27.0.post2

# What the tests need from Debian: software rendering for the synthetic world, a real RTSP server, a C++ subscriber.
DEBIAN := libosmesa6 python3-gst-1.0 gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
	g++ cppzmq-dev libmsgpack-cxx-dev chromium

.PHONY: install demo test check debian clean

install: .venv/installed

.venv/installed: pyproject.toml tests/readers.txt
	$(PYTHON) -m venv .venv || { sh .ci/debian python3-venv && $(PYTHON) -m venv .venv; }
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(TORCH_TENSORRT) $(SUPERVISION)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target .venv/readers -r tests/readers.txt
	rm -rf .venv/readers/tests
	touch $@

demo: install
	$(BIN)/python run_stream.py demo

test: install debian check
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/engines tests/trackers tests/training
	$(BIN)/python -m pytest tests/stream $(wildcard tests/test_*.py)

check: install
	$(BIN)/ruff check .
	$(BIN)/mypy

debian:
	sh .ci/debian $(DEBIAN)

clean:
	rm -rf .venv out
