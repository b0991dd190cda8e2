/* SPDX-License-Identifier: GPL-2.0-only */
/* How CRIU's plug-in is told what a connection to the journal begins with. */
#ifndef SKU_PLUGIN_JOURNAL_H
#define SKU_PLUGIN_JOURNAL_H

/* Set for a dump: connections to the journal are cut, and made anew by the restore. */
#define PLUGIN_UNIT "SKU_UNIT"
/* For a restore: what a connection to the journal begins with. */
#define PLUGIN_JOURNAL_HEADER "/run/sku/journal-header"
#define PLUGIN_JOURNAL "/run/systemd/journal/stdout"

#endif
