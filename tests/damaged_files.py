"""Damaged files, and files whose entries were changed."""

from glimpse_gym.safe_io import read_checksummed_json, write_checksummed_json


def rewrite(path, change):
    """Apply a function to the entries of a file, and renew its checksum."""
    entries = read_checksummed_json(path).entries
    change(entries)
    write_checksummed_json(path, entries)


def put(entries, keys, value):
    """Set the value that a sequence of keys leads to, in nested lists and dicts."""
    *parents, last = keys
    for key in parents:
        entries = entries[key]
    entries[last] = value


def accepted_bit_flips(path, load, error_class):
    """Flip each bit of a file in turn; return those (byte, bit) that go unnoticed, or whose error does not name it."""
    accepted = []
    with path.open("r+b", buffering=0) as file:

        def put(position, byte):
            file.seek(position)
            file.write(bytes([byte]))

        for position, byte in enumerate(path.read_bytes()):
            for bit in range(8):
                put(position, byte ^ 1 << bit)
                try:
                    load(path)
                except error_class as error:
                    if str(path) in str(error):
                        continue
                accepted.append((position, bit))
            put(position, byte)
    return accepted


def nested(depth):
    """JSON of a list in a list in a list, so many levels deep."""
    return "[" * depth + "]" * depth
