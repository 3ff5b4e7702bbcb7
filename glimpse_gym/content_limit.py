"""Limit on the content of files, as a part of the limit on memory that ``max_bytes`` arguments give."""

from __future__ import annotations

from glimpse_gym.validation import check_max_bytes


class ContentLimitError(ValueError):
    """Content of a file is larger than the limit."""


def content_limit(max_bytes: int) -> int:
    """Return the bytes of uncompressed content that may be read with ``max_bytes`` of memory: two fifths.

    Reading takes up to 2.5 times the content, because parts are copied when they are put together.

    Raises:
        ValueError: ``max_bytes`` is not an integer from 1 to 2**63 - 1.
    """
    return check_max_bytes(max_bytes) * 2 // 5


def memory_for(content: int) -> int:
    """Return the ``max_bytes`` with which ``content`` bytes may be read, the inverse of :func:`content_limit`."""
    return -(-content * 5 // 2)


def check_content(where: str, size: int, max_bytes: int) -> None:
    """Raise ContentLimitError if a content of ``size`` bytes is larger than the limit.

    Args:
        where: The beginning of the message: the file.
        size: Bytes of uncompressed content.
        max_bytes: See `content_limit`.
    """
    if size > (limit := content_limit(max_bytes)):
        raise ContentLimitError(
            f"{where}: its content takes {size:,} bytes, and the limit is {limit:,}, two fifths of "
            f"max_bytes={max_bytes:,}; {how_to_lift(memory_for(size))}"
        )


def how_to_lift(max_bytes: int) -> str:
    """Say which ``max_bytes`` would do, for error messages."""
    return f"if you trust the file, give max_bytes={max_bytes} or more"
