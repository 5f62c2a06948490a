/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_LATER_SPARSE_H
#define PANTHORLAB_GUEST_GPU_LATER_SPARSE_H

#include "gpu-later.h"
#include "sparse.h"

#endif
