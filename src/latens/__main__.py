"""``python -m latens`` is the tool, as ``torchrun -m latens`` needs it."""

import sys

from latens.cli import main

if __name__ == "__main__":
    sys.exit(main())
