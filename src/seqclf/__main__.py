"""`python -m seqclf` is the command `seqclf`."""

import sys

from seqclf.cli import main

if __name__ == "__main__":
    sys.exit(main())
