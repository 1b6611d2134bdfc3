"""The bytes of a `tf.train.Example`, written and read without TensorFlow.

An Example is a map of names to lists. Its wire format is that of protocol
buffers: fields of a number and a kind, nested by their length.
"""

import numbers
import struct
from collections.abc import Iterable, Mapping

# Kinds of fields.
_VARINT, _FIXED64, _NESTED, _FIXED32 = 0, 1, 2, 5
# Numbers of the fields of a Feature.
_BYTES, _FLOATS, _INTS = 1, 2, 3
_MASK = (1 << 64) - 1


def encode_example(features: Mapping[str, object]) -> bytes:
    r"""Encode features as a `tf.train.Example`.

    Args:
        features: Names to values: bytes, a string (stored as UTF-8), an
            integer of 64 bits, a float (stored in 32 bits), or a list of
            values of one of these kinds.

    Returns:
        The bytes of the message, the features in the order given.

    Raises:
        ValueError: If a value is none of these.

    Example:
    >>> encode_example({"label": 7})
    b'\n\x10\n\x0e\n\x05label\x12\x05\x1a\x03\n\x01\x07'

    Reference:
        - https://protobuf.dev/programming-guides/encoding
    """
    entries = b"".join(
        _nested(
            1,
            _nested(1, name.encode("utf-8"))
            + _nested(2, _feature(name, value)),
        )
        for name, value in features.items()
    )
    return _nested(1, entries)


def decode_example(data: bytes) -> dict[str, list]:
    """Decode a `tf.train.Example`.

    Args:
        data: The bytes of the message.

    Returns:
        Names to lists of bytes, integers or floats.

    Raises:
        ValueError: If the bytes are no such message.

    Example:
    >>> decode_example(encode_example({"label": -1, "name": ["a", "b"]}))
    {'label': [-1], 'name': [b'a', b'b']}
    """
    features = {}
    for number, block in _fields(memoryview(data)):
        if number != 1:
            continue
        for number, entry in _fields(_message(block)):
            if number == 1:
                name, values = _entry(_message(entry))
                features[name] = values
    return features


def _varint(value):
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


def _nested(number, content):
    tag = _varint(number << 3 | _NESTED)
    return b"".join((tag, _varint(len(content)), content))


def _feature(name, value):
    several = isinstance(value, Iterable) and not isinstance(
        value, (bytes, str)
    )
    values = list(value) if several else [value]
    values = [v.encode("utf-8") if isinstance(v, str) else v for v in values]
    if all(isinstance(v, bytes) for v in values):
        # An empty list has no kind; here it is one of bytes.
        content = b"".join(_nested(1, v) for v in values)
        return _nested(_BYTES, content)
    if all(isinstance(v, numbers.Integral) for v in values):
        if all(-(2**63) <= v < 2**63 for v in values):
            packed = b"".join(_varint(int(v) & _MASK) for v in values)
            return _nested(_INTS, _nested(1, packed))
    elif all(isinstance(v, numbers.Real) for v in values):
        packed = struct.pack(f"<{len(values)}f", *values)
        return _nested(_FLOATS, _nested(1, packed))
    raise ValueError(
        f"`features` must be bytes, strings, integers of 64 bits, floats, or "
        f"lists of one of them. Received: {name}={value!r:.60}"
    )


def _read_varint(view, start):
    value = shift = 0
    for position in range(start, min(start + 10, len(view))):
        byte = view[position]
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK, position + 1
        shift += 7
    raise ValueError("no tf.train.Example: a number does not end")


def _fields(view):
    """Yield number and content: a view of what is nested, or an integer."""
    position = 0
    while position < len(view):
        tag, position = _read_varint(view, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _read_varint(view, position)
            yield number, value
            continue
        if kind == _NESTED:
            length, position = _read_varint(view, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"no tf.train.Example: a field of kind {kind}")
        if number == 0 or position + length > len(view):
            raise ValueError("no tf.train.Example: a field exceeds its message")
        yield number, view[position : position + length]
        position += length


def _message(content):
    if isinstance(content, int):
        raise ValueError(
            "no tf.train.Example: a number where a message belongs"
        )
    return content


def _entry(view):
    """Return the name and values of one entry of the map."""
    name, values = "", []
    for number, content in _fields(view):
        if number == 1:
            try:
                name = str(_message(content), "utf-8")
            except UnicodeDecodeError:
                raise ValueError(
                    "no tf.train.Example: a name is not UTF-8"
                ) from None
        elif number == 2:
            values = _values(_message(content))
    return name, values


def _values(view):
    """Return a Feature's values; lists of one kind add up."""
    kind, values = None, []
    for number, block in _fields(view):
        if number not in (_BYTES, _FLOATS, _INTS):
            continue
        if number != kind:
            kind, values = number, []
        for inner, content in _fields(_message(block)):
            if inner == 1:
                values += _READERS[kind](content)
    return values


def _bytes(content):
    return [bytes(_message(content))]


def _floats(content):
    content = _message(content)
    if len(content) % 4:
        raise ValueError("no tf.train.Example: a cut list of floats")
    return struct.unpack(f"<{len(content) // 4}f", content)


def _ints(content):
    if isinstance(content, int):
        return [_signed(content)]
    values, position = [], 0
    while position < len(content):
        value, position = _read_varint(content, position)
        values.append(_signed(value))
    return values


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


_READERS = {_BYTES: _bytes, _FLOATS: _floats, _INTS: _ints}
