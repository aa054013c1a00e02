"""Run the command line as ``python -m headstart``."""

import sys

from headstart.cli import main

if __name__ == "__main__":
    sys.exit(main())
