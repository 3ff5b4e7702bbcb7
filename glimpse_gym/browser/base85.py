"""Bytes as text in base 85, which takes 6 % less room than base 64; ``storage.js`` reads it."""

from __future__ import annotations

import string

import numpy as np

# The printable ASCII characters that mean nothing special in HTML and in strings of JavaScript.
ALPHABET = "".join(c for c in string.digits + string.ascii_letters + string.punctuation if c not in "\"'<>&\\`$!")
"""The 85 digits."""


def encode_text(content: bytes) -> str:
    """Encode bytes: five digits for each 32-bit big-endian number, the first of which is the number of bytes.

    Raises:
        ValueError: if there are 4 GiB or more.
    """
    if len(content) >= 2**32:
        raise ValueError(f"at most {2**32 - 1:,} bytes can be stored in the page, got {len(content):,}")
    padded = len(content).to_bytes(4, "big") + content + bytes(-len(content) % 4)
    words = np.frombuffer(padded, ">u4").astype(np.uint32)
    digits = words[:, None] // np.array([85**4, 85**3, 85**2, 85, 1], np.uint32) % 85
    return np.frombuffer(ALPHABET.encode(), np.uint8)[digits].tobytes().decode()
