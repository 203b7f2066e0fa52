# SPDX-License-Identifier: Apache-2.0
# Everything without a ROS installation: ROS 2 comes into .venv as wheels. On a robot, use colcon (see README.md).

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -c constraints.txt $(PIP_ARGS)
ROS := ROS_HOME=$(CURDIR)/build/ros ROS_LOG_DIR=$(CURDIR)/build/ros/log ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST

# A sourced ROS mixes its modules and libraries with those of the wheels, which hold Fast DDS alone. The wheels mark
# their environment for every child process, and another environment's Python would believe the mark.
unexport AMENT_PREFIX_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH PYTHONPATH ROS_DISTRO RMW_IMPLEMENTATION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
ifneq ($(AMENT_PREFIX_PATH)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
$(info make: the ROS of this shell is left out; make uses its own in $(VENV))
unexport LD_LIBRARY_PATH
endif

.PHONY: help demo test soak bench train-demo crf clean machine
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: PYTHON=python3.12  PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" (no GPU)'
	@echo '           PYTEST_ARGS="-k sentence"'

demo: $(VENV)/.installed  ## camera, node and client over ROS 2: build/demo/sheet.png and report.json
	$(ROS) $(BIN)/python -m clipseg_ros demo --out build/demo

test: $(VENV)/.crf  ## the whole test suite, with the dense CRF where it compiles
	@mkdir -p build/ros/log
	$(ROS) ROS_PYTHON_CHECK_FIELDS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

soak: $(VENV)/.installed  ## ten minutes of everything changing, then thousands of malformed messages
	@mkdir -p build/ros/log
	$(ROS) SOAK_SECONDS=600 FUZZ=all $(BIN)/python -m pytest -s test/ros/test_soak.py test/ros/test_fuzz.py

bench: $(VENV)/.crf  ## times and memory beside what a user would write (long): build/bench.json
	@mkdir -p build/ros/log
	$(ROS) $(BIN)/python -m clipseg_ros bench --roofline $(BENCH_ARGS)

train-demo: $(VENV)/.installed  ## train the demo model anew (long): build/train
	$(BIN)/python -m clipseg_ros train demo --out build/train

crf: $(VENV)/.crf  ## compile the optional dense CRF

clean:  ## remove all that make made: .venv and build, trained models included
	rm -rf $(VENV) build install log *.egg-info

$(VENV)/.installed: setup.py setup.cfg pyproject.toml constraints.txt | machine
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[ros-jazzy,scenes,test]"
	@touch $@

# Optional, so a failure only prints how to try again.
$(VENV)/.crf: $(VENV)/.installed
	@{ $(INSTALL) cython setuptools && $(INSTALL) --no-build-isolation pydensecrf2; } || \
	echo "make: the dense CRF did not build, and the rest works without it. It needs a C++ compiler and Python's" \
	     "headers (apt install g++ python3-dev); then: rm $@ && make crf"
	@touch $@

machine:
	@test "$$(uname -sm)" = "Linux x86_64" || { echo "make: PyPI holds ROS 2 for x86_64 Linux alone, and this is" \
	"$$(uname -sm). Install ROS 2 and build with colcon, as README.md says."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || { echo "make: needs Python 3.10" \
	"to 3.13, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..."; exit 1; }
