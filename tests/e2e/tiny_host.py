# SPDX-License-Identifier: GPL-2.0-or-later
"""What `dask worker` starts with that builds tiny kernels: their guest programs instead of the real ones."""

import os
from pathlib import Path

from panthorlab.kernel.build import guest

GUEST = "PANTHORLAB_TEST_GUEST"
"""The variable that names them."""

if GUEST in os.environ:
    guest.SOURCES = Path(os.environ[GUEST])
