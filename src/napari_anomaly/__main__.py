"""``python -m napari_anomaly`` is ``napari-anomaly``."""

import sys

from napari_anomaly.cli import main

sys.exit(main())
