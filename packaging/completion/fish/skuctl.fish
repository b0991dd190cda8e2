# SPDX-License-Identifier: GPL-2.0-only
skuctl completion fish | source
