# SPDX-License-Identifier: GPL-2.0-only
# make demo   the whole way on a real kernel, ending in a table
# make test   linters, unit, tree and lab tests
# make unit   linters and the tests that need no kernel (seconds)

VENV ?= .venv
SKU := $(VENV)/bin/sku
PYTEST := $(VENV)/bin/python -m pytest

.PHONY: demo test unit bootstrap

demo: bootstrap
	$(SKU) demo

test: bootstrap
	$(PYTEST) tests/lint tests/unit tests/tree tests/lab

unit: bootstrap
	$(PYTEST) tests/lint tests/unit

bootstrap:
	@ci/bootstrap $(VENV)
