"""`python -m flows.pipeline` is `python -m flows`, and `tav run`."""

import sys

from flows.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
