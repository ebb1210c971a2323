"""``python -m axon``, the same as ``axon``."""

import sys

from axon.cli import main

if __name__ == "__main__":  # workers of an MPI job import it under another name
    sys.exit(main())
