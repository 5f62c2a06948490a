/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_VM_H
#define PANTHORLAB_GUEST_GPU_VM_H

/* What each does is said in gpu-vm.c. They return the exit status. */
int mode_small(unsigned int count, unsigned int seed);
int mode_huge(unsigned int count, unsigned int seed);
int mode_huge_pages(unsigned int count, unsigned int seed);
int mode_random(unsigned int count, unsigned int seed);
int mode_tables(unsigned int count, unsigned int seed);
int mode_holes(unsigned int count, unsigned int seed);
int mode_spaces(unsigned int count, unsigned int seed);
int mode_kernel_range(unsigned int count, unsigned int seed);
int mode_taken(unsigned int count, unsigned int seed);
int mode_protection(unsigned int count, unsigned int seed);
int mode_zero(unsigned int count, unsigned int seed);
int mode_stuck(unsigned int count, unsigned int seed);
int mode_lost(unsigned int count, unsigned int seed);

/* Buffer objects that are made from now on shall have huge pages where they can; no longer so. */
int huge_pages_ask(void);
int huge_pages_end(void);

/* So much of the memory of buffer objects (and of files in memory) is huge pages. */
long huge_pages_kib(void);

#endif
