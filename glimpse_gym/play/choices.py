"""Keys for labels: digit keys if the classes are digits, otherwise a list to choose from."""

from __future__ import annotations

from collections.abc import Sequence

_MAX_KEYS = 10


class ChoiceKeys:
    """Key bindings of the choices of an episode.

    Up to ten classes named by single digits are chosen with the digit keys. Other classes are chosen from a list:
    typing filters it by name, the arrow keys move the selection, and Return confirms it.

    Args:
        names: name of each choice.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.is_list = len(self.names) > _MAX_KEYS or not all(len(name) == 1 and name.isdigit() for name in self.names)
        self.filter = ""
        self.selected = 0
        """Index of the selection in :attr:`matches`."""

    @property
    def matches(self) -> list[int]:
        """Choices whose names contain the typed filter."""
        return [i for i, name in enumerate(self.names) if self.filter in name.lower()]

    def takes(self, key: str) -> bool:
        """Return whether a key is a character of the name being typed, so that it has no other meaning."""
        return self.is_list and len(key) == 1 and (key.isalnum() or key in "-_")

    def press(self, key: str) -> int | None:
        """Handle a key.

        Returns:
            The choice that the key confirms, or None.
        """
        if not self.is_list:
            digit = key.strip("[]")  # keys of the number pad are called "[0]" to "[9]"
            return self.names.index(digit) if digit in self.names else None
        matches = self.matches
        if key in ("return", "enter") and matches:
            choice = matches[min(self.selected, len(matches) - 1)]
            self.clear()
            return choice
        if key in ("up", "down") and matches:
            self.selected = (self.selected + (1 if key == "down" else -1)) % len(matches)
        elif key == "backspace":
            self.filter, self.selected = self.filter[:-1], 0
        elif self.takes(key):
            self.filter, self.selected = self.filter + key, 0
        return None

    def clear(self) -> None:
        """Clear the filter and the selection."""
        self.filter, self.selected = "", 0
