"""Ways to damage files: bytes, the structure of JSON, and what a path is."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

_HEADS = (
    *(b"", b"\x1f\x8b", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"),
    *(b"GIF89a", b"BM", b"II*\0", b"{", b"\0\0\x08\x03"),
)


def flip_bits(rng: np.random.Generator, content: bytes) -> bytes:
    """Flip one bit or several."""
    array = np.frombuffer(content, np.uint8).copy()
    for _ in range(int(rng.integers(1, 9))):
        array[int(rng.integers(len(array)))] ^= 1 << int(rng.integers(8))
    return array.tobytes()


def flip_one_bit(rng: np.random.Generator, content: bytes) -> bytes:
    """Flip exactly one bit."""
    array = np.frombuffer(content, np.uint8).copy()
    array[int(rng.integers(len(array)))] ^= 1 << int(rng.integers(8))
    return array.tobytes()


def _truncate(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: int(rng.integers(len(content)))]


def _insert(rng: np.random.Generator, content: bytes) -> bytes:
    place = int(rng.integers(len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 40))) + content[place:]


def _block(rng: np.random.Generator, content: bytes) -> tuple[int, int]:
    start = int(rng.integers(len(content)))
    return start, min(len(content), start + int(rng.integers(1, 64)))


def _remove(rng: np.random.Generator, content: bytes) -> bytes:
    start, end = _block(rng, content)
    return content[:start] + content[end:]


def _repeat(rng: np.random.Generator, content: bytes) -> bytes:
    start, end = _block(rng, content)
    return content[:end] + content[start:end] * int(rng.integers(1, 5)) + content[end:]


def _zero(rng: np.random.Generator, content: bytes) -> bytes:
    start, end = _block(rng, content)
    return content[:start] + bytes([int(rng.choice([0, 255]))]) * (end - start) + content[end:]


def _swap(rng: np.random.Generator, content: bytes) -> bytes:
    a, b, c, d = sorted(rng.integers(0, len(content) + 1, 4).tolist())
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _number(rng: np.random.Generator, content: bytes) -> bytes:
    """Overwrite some bytes with an extreme number, as if it were a length."""
    size = int(rng.choice([1, 2, 4, 8]))
    value = int(rng.choice([0, 1, 255, 2 ** (8 * size - 1) - 1])) if rng.random() < 0.5 else 2 ** (8 * size) - 1
    start = int(rng.integers(max(1, len(content) - size)))
    number = (value % 2 ** (8 * size)).to_bytes(size, "big" if rng.random() < 0.5 else "little")
    return content[:start] + number + content[start + size :]


def _other(rng: np.random.Generator, content: bytes) -> bytes:
    return _HEADS[int(rng.integers(len(_HEADS)))] + rng.bytes(int(rng.integers(200)))


DAMAGES: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (
    flip_one_bit,
    flip_bits,
    flip_bits,
    _truncate,
    _insert,
    _remove,
    _repeat,
    _zero,
    _swap,
    _number,
    _number,
    _other,
)


def damage_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """Damage a content in one way, or in two."""
    for _ in range(1 if rng.random() < 0.8 else 2):
        if content:
            content = DAMAGES[int(rng.integers(len(DAMAGES)))](rng, content)
    return content


# ---------------------------------------------------------------- JSON

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**70), 10**300, 0.5, -0.5, 1e308, 1e-320),
    *(float("nan"), float("inf"), -float("inf")),
    *("", "0", "nan", "../../etc/passwd", "\x00", "\ud800", "x" * 3000, "glimpse_gym/Catch-v0", "<b>|\n# x"),
    *([], {}, [[]], [{}]),
    *([0] * 100, [None], {"": None}, {"a": {"b": {}}}, [1, [2, [3]]], ["a", "b"], 1e16, 123456789012345678901234567890),
)


def mutate_json(rng: np.random.Generator, value: Any) -> Any:
    """Change the structure of a parsed JSON value in one to three places."""
    value = json.loads(json.dumps(value))
    for _ in range(int(rng.integers(1, 4))):
        value = _mutate(rng, value)
    return value


def _mutate(rng: np.random.Generator, value: Any) -> Any:
    """Change one place, chosen by a random walk from the root."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[int(rng.integers(len(keys)))]
        kind = int(rng.integers(12))
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(value, dict):
            value[f"{key}x"] = value.pop(key)
        elif kind == 2 and isinstance(value, dict):
            value["extra"] = _any_value(rng)
        elif kind == 3 and isinstance(value, list):
            value.insert(int(rng.integers(len(value) + 1)), value[key] if rng.random() < 0.5 else _any_value(rng))
        else:
            value[key] = _mutate(rng, value[key])
        return value
    if type(value) in (int, float) and rng.random() < 0.5:
        return [value + 1, -value, value * 10**6, str(value), float(value), [value]][int(rng.integers(6))]
    if isinstance(value, str) and rng.random() < 0.5:
        return [value + "x", value[:-1], value.upper(), [value], value * 2][int(rng.integers(5))]
    return _any_value(rng)


def _any_value(rng: np.random.Generator) -> Any:
    if rng.random() < 0.02:
        nested: Any = []
        for _ in range(int(rng.choice([50, 900]))):
            nested = [nested]
        return nested
    value = _VALUES[int(rng.integers(len(_VALUES)))]
    return json.loads(json.dumps(value)) if isinstance(value, (dict, list)) else value


_SIZES = (0, 1, 2, 3, 2**10, 2**16, 2**20, 2**24, 2**31, 2**63, 2**70, -1)
_TEXTS = (
    *("a\nb", "\n", "\x1b[2J\x1b[31mred", "a\rb", "$\\frac$", "$x", "\\", "%s {}", "", " ", "x" * 100_000),
    *("| a | b |", "</td>", "this:Env-v0", "glimpse_gym/Images-v0", "../../x", "/etc/passwd"),
)
_ARGUMENTS = ("images", "labels", "max_bytes", "num_envs", "render_mode", "split", "actions", "num_rows", "observe")


def exaggerate(rng: np.random.Generator, entries: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Set numbers to extreme ones, and texts to hostile ones, in one or two of the named entries of a JSON object.

    An entry ``env_kwargs`` may get another keyword argument, too.
    """
    entries = json.loads(json.dumps(entries))
    present = [name for name in names if name in entries]
    if isinstance(entries.get("env_kwargs"), dict) and rng.random() < 0.2:
        values = (*_SIZES, *_TEXTS)
        entries["env_kwargs"][str(rng.choice(_ARGUMENTS))] = values[int(rng.integers(len(values)))]
    for _ in range(int(rng.integers(1, 3))):
        parent, key = entries, present[int(rng.integers(len(present)))]
        while isinstance(parent[key], (dict, list)) and parent[key]:
            parent = parent[key]
            keys = list(parent) if isinstance(parent, dict) else range(len(parent))
            key = keys[int(rng.integers(len(keys)))]
        choices = _TEXTS if isinstance(parent[key], str) else _SIZES
        parent[key] = choices[int(rng.integers(len(choices)))]
    return entries


def mutate_tensors(rng: np.random.Generator, value: Any) -> Any:
    """Change one place of nested dicts and lists of tensors and numbers, chosen by a random walk from the root."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.95:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[int(rng.integers(len(keys)))]
        if rng.random() < 0.1:
            del value[key]
        else:
            value[key] = mutate_tensors(rng, value[key])
        return value
    if isinstance(value, torch.Tensor) and rng.random() < 0.8:
        others = (
            lambda: value.to(torch.float64 if value.dtype != torch.float64 else torch.int32),
            lambda: value.reshape(-1)[:-1].clone(),
            lambda: torch.zeros(*value.shape, 2, dtype=value.dtype),
            lambda: torch.zeros(0, dtype=value.dtype),
            lambda: value.to(torch.complex64),
            lambda: torch.full_like(value, 3),
            lambda: value.reshape(1, -1).clone(),
        )
        return others[int(rng.integers(len(others)))]()
    return _VALUES[int(rng.integers(len(_VALUES)))]


# ---------------------------------------------------------------- paths


def replace_path(rng: np.random.Generator, path: Path) -> None:
    """Put something else than a regular file in the place of a file, or nothing."""
    path.unlink()
    kind = int(rng.integers(8))
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to("/dev/zero")
    elif kind == 2:
        path.symlink_to("/dev/urandom")
    elif kind == 3:
        path.symlink_to(path.name)  # to itself
    elif kind == 4:
        path.symlink_to("nowhere")
    elif kind == 5:
        path.mkdir()
    elif kind == 6:
        path.touch()
