"""Limit on the content of files."""

import pytest

from glimpse_gym.content_limit import ContentLimitError, check_content, content_limit, memory_for


def test_the_limit_is_two_fifths():
    assert content_limit(2_000_000_000) == 800_000_000


@pytest.mark.parametrize("max_bytes", [0, -5, 1.0, True, None, "7", 2**63])
def test_bad_max_bytes(max_bytes):
    with pytest.raises(ValueError, match=r"max_bytes must be an integer from 1 to \d+, got"):
        content_limit(max_bytes)


def test_the_error_says_what_would_do():
    check_content("a", 400, 1000)
    with pytest.raises(ContentLimitError, match=r"^a: .* 401 bytes.* 400, .*max_bytes=1,000; .*give max_bytes=1003 or"):
        check_content("a", 401, 1000)
    check_content("a", 401, 1003)


@pytest.mark.parametrize("content", [1, 2, 3, 999, 800_000_000])
def test_memory_for_a_content_is_the_least_that_accepts_it(content):
    assert content_limit(memory_for(content)) == content
    assert memory_for(content) == 1 or content_limit(memory_for(content) - 1) < content
