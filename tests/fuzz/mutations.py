"""Damages bytes in the ways of accidents and of attackers, by a seed."""

import io
import pickle
import re
import struct
import zipfile

import numpy as np

_NUMBERS = (0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
_LARGE = (*_NUMBERS, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_DIGITS = b"0", b"-1", b"9" * 10, b"9" * 19, b"1e99", b"null", b'"a"', b"[[["


class Canary:
    """A pickle that would leave a file where it is executed."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def flip(rng, data):
    """Flip some bits."""
    data = bytearray(data)
    for place in rng.integers(0, len(data), 1 + rng.integers(8)):
        data[place] ^= 1 << rng.integers(8)
    return bytes(data)


def cut(rng, data):
    """Leave the end out."""
    return data[: rng.integers(len(data))]


def number(rng, data):
    """Write a number of note over others, in either order of bytes."""
    kind = "<>"[rng.integers(2)] + "BHIQ"[rng.integers(4)]
    size = struct.calcsize(kind)
    value = int(rng.choice(np.array(_LARGE, object))) % 256**size
    place = rng.integers(max(1, len(data) - size))
    return data[:place] + struct.pack(kind, value) + data[place + size :]


def digits(rng, data):
    """Write another number for one in digits."""
    found = [*re.finditer(rb"\d+", data)]
    if not found:
        return flip(rng, data)
    match = found[rng.integers(len(found))]
    new = _DIGITS[rng.integers(len(_DIGITS))]
    if rng.integers(2):  # Of the same length, so that offsets stay right.
        new = (b"9" * len(match[0]), b"0" * len(match[0]))[rng.integers(2)]
    return data[: match.start()] + new + data[match.end() :]


def blocks(rng, data):
    """Remove, repeat, move or empty a block."""
    first, second = np.sort(rng.integers(0, len(data) + 1, 2))
    second = min(second, first + 4096)
    block = data[first:second]
    place = rng.integers(len(data) + 1)
    return [
        data[:first] + data[second:],
        data[:second] + block + data[second:],
        data[:first] + bytes(len(block)) + data[second:],
        data[:place] + block + data[place:],
        data[:first] + rng.bytes(len(block)) + data[second:],
    ][rng.integers(5)]


def beginning(rng, data):
    """Damage the first bytes alone, where sizes are told."""
    count = min(len(data), 600)
    change = (flip, number, digits)[rng.integers(3)]
    return change(rng, data[:count]) + data[count:]


def member(rng, data):
    """Damage a file of an archive, with checksums that are right again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # It is damaged already, or no archive.
        return flip(rng, data)
    if not parts:
        return data
    name = sorted(parts)[rng.integers(len(parts))]
    change = (flip, number, digits, beginning, cut, blocks)[rng.integers(6)]
    parts[name] = change(rng, parts[name] or b"0")
    file = io.BytesIO()
    kind = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[rng.integers(2)]
    with zipfile.ZipFile(file, "w", kind) as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return file.getvalue()


def replace_pickles(data, canary):
    """Put code into each pickle of an archive, or for all of a file."""
    code = pickle.dumps({"weight": Canary(canary)}, 2)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return code
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            objects = content
            if name.endswith(".npy"):
                npy = io.BytesIO()
                np.lib.format.write_array(
                    npy, np.array([Canary(canary)], object), allow_pickle=True
                )
                objects = npy.getvalue()
            elif name.endswith(".pkl"):
                objects = code
            archive.writestr(name, objects)
    return file.getvalue()


CHANGES = (flip, cut, number, digits, blocks, beginning, member)


def mutate(rng, data):
    """Damage bytes in one way, now and then in two.

    Returns:
        The bytes, and whether the checksums of an archive may be right.
    """
    signed = False
    for _ in range(1 + (rng.random() < 0.2)):
        if data:
            change = CHANGES[rng.integers(len(CHANGES))]
            signed |= change is member
            data = change(rng, data)
    return data, signed
