/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PANTHORLAB_SHIM_FENCE_IRQ_H
#define PANTHORLAB_SHIM_FENCE_IRQ_H

#ifdef PANTHOR_FENCE_IRQ	/* Kbuild: this kernel can */
void fence_irq_init(void);
void fence_irq_exit(void);
#else
static inline void fence_irq_init(void) { }
static inline void fence_irq_exit(void) { }
#endif

#endif
