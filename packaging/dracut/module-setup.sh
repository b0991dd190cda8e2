#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A module of dracut: the initramfs carries sku-init, for a next kernel that is booted with
# rdinit=/sku-init. An ordinary boot goes by /init, as before.

check() {
	require_binaries /usr/lib/sku/sku-init
}

depends() {
	return 0
}

install() {
	inst_simple /usr/lib/sku/sku-init /sku-init
}
