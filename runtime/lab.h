/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtio-serial port to the lab: lines of JSON out, lines of commands in. */
#ifndef SKU_LAB_H
#define SKU_LAB_H

#include <stddef.h>
#include <stdint.h>

#include "facts.h"
#include "lines.h"
#include "problem.h"

struct lab {
	int fd;
	struct lines commands;
};

int lab_open(struct lab *lab, unsigned int patience_ms);

void lab_report_init(struct lab *lab, const struct facts *facts, uint64_t counter);
void lab_report_stamp(struct lab *lab, const char *event, uint64_t counter);
void lab_report_problem(struct lab *lab, const struct problem *problem);
void lab_report_content(struct lab *lab, const char *text, size_t size);
void lab_report_ran(struct lab *lab, int status, const char *output, size_t size);
int lab_report_kmsg(struct lab *lab, struct problem *problem);

#endif
