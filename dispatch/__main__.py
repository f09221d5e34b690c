"""`python -m dispatch` is the installed command `dispatch112`, where the script is not on the path."""

import sys

from dispatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
