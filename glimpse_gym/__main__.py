"""Run the command line as ``python -m glimpse_gym``."""

import sys

from glimpse_gym.cli import main

sys.exit(main())
