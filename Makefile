# SPDX-License-Identifier: GPL-2.0-only
# make demo     the whole way on a real kernel, ending in a table
# make test     linters, unit, tree and lab tests
# make test-matrix  all kernel lines, updates across them, and README.md's table of it; on 7.3 with and beside
#                   the kernel's own live update (nightly)
# make test-changed of the same, the lines that have changed since the results in docs/matrix.json
# make test-systemd MariaDB under a real systemd, through updates; eight minutes on a busy machine
# make unit     linters and the tests that need no kernel (seconds)
# make packages the runtime as a Debian and an rpm package, built and checked (installs tools: 20 MB)
# make browser  the page of `sku report`, laid out in Chromium (installs it: 80 MB to download)

VENV ?= .venv
SKU := $(VENV)/bin/sku
PYTEST := $(VENV)/bin/python -m pytest

.PHONY: demo test test-matrix test-changed test-systemd unit browser packages bootstrap

demo: bootstrap
	$(SKU) demo

test: bootstrap
	$(PYTEST) tests/lint tests/unit tests/browser tests/packages tests/tree tests/lab

test-matrix: bootstrap
	$(SKU) lab matrix --result docs/matrix.json --document README.md
	SKU_TEST_LINE=7.3 $(PYTEST) tests/lab/test_luo.py

test-changed: bootstrap
	$(SKU) lab matrix --changed --result docs/matrix.json --document README.md

test-systemd: bootstrap
	SKU_TEST_SYSTEMD=1 $(PYTEST) tests/lab/test_unit.py

unit: bootstrap
	$(PYTEST) tests/lint tests/unit

browser:
	@ci/bootstrap --browser $(VENV)
	SKU_REQUIRE_BROWSER=1 $(PYTEST) tests/browser

packages:
	@ci/bootstrap --packages $(VENV)
	SKU_REQUIRE_PACKAGES=1 $(PYTEST) tests/packages

bootstrap:
	@ci/bootstrap $(VENV)
