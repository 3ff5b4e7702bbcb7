"""``python -m glimpse_gym`` is ``glimpse-gym``."""

import sys

from glimpse_gym.cli import main

sys.exit(main())
