"""Pictures of episodes, by pygame: drawing primitives, views, frames, windows, text; and figures, by Matplotlib."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
