"""``python -m axon``, the same as ``axon``."""

import sys

from axon.cli import main

sys.exit(main())
