"""Against tf.train.Example, byte for byte where its order is defined."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.data.shards.example_proto import (
    decode_example,
    encode_example,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    st.lists(st.binary(max_size=300), max_size=4),
    st.lists(INT64, max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
)


@pytest.fixture(scope="module")
def train():
    return pytest.importorskip("tensorflow").train


def to_tensorflow(train, features):
    result = train.Example()
    for name, values in features.items():
        feature = result.features.feature[name]
        if all(isinstance(v, bytes) for v in values):
            feature.bytes_list.value.extend(values)
        elif all(isinstance(v, int) for v in values):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return result


@settings(max_examples=60, deadline=None)
@given(features=st.dictionaries(st.text(max_size=20), VALUES, max_size=5))
def test_both_ways(train, features):
    expected = to_tensorflow(train, features)
    ours = train.Example.FromString(encode_example(features))
    for name, values in features.items():
        if values:
            assert (
                ours.features.feature[name] == expected.features.feature[name]
            )
    assert ours.features.feature.keys() == expected.features.feature.keys()
    assert decode_example(expected.SerializeToString()) == features
    assert decode_example(encode_example(features)) == features


def test_one_feature_is_the_same_bytes(train):
    for values in ([b"x" * 200], [1, -1, 2**40, -(2**63)], [0.5, -1e30]):
        features = {"image/größe": values}
        expected = to_tensorflow(train, features).SerializeToString()
        assert encode_example(features) == expected


def test_values_need_no_list():
    features = {
        "a": "é",
        "b": np.int64(3),
        "c": 0.5,
        "d": np.arange(2),
        "e": b"",
    }
    assert decode_example(encode_example(features)) == {
        "a": ["é".encode()],
        "b": [3],
        "c": [0.5],
        "d": [0, 1],
        "e": [b""],
    }


def nested(number, content):
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def example(feature):
    entry = nested(1, b"k") + nested(2, feature)
    return nested(1, nested(1, entry))


MINUS_ONE = b"\xff" * 9 + b"\x01"
ODD = {
    "unpacked integers": (
        example(nested(3, b"\x08\x05" + b"\x08" + MINUS_ONE)),
        [5, -1],
    ),
    "both forms": (
        example(nested(3, nested(1, b"\x01\x02") + b"\x08\x03")),
        [1, 2, 3],
    ),
    "unpacked floats": (example(nested(2, b"\x0d\x00\x00\x00\x3f")), [0.5]),
    "two lists of a kind": (
        example(nested(3, b"\x08\x01") + nested(3, b"\x08\x02")),
        [1, 2],
    ),
    "two kinds": (
        example(nested(3, b"\x08\x01") + nested(1, b"\x0a\x00")),
        [b""],
    ),
    "no kind": (example(b""), []),
    "unknown fields": (
        b"\x10\x01" + example(b"\x21" + b"8 bytes." + nested(3, b"\x08\x01")),
        [1],
    ),
    "a name twice": (
        nested(
            1,
            2 * nested(1, nested(1, b"k") + nested(2, nested(3, b"\x08\x01"))),
        ),
        [1],
    ),
}


@pytest.mark.parametrize("name", list(ODD))
def test_what_other_writers_may_write(train, name):
    data, values = ODD[name]
    assert decode_example(data) == {"k": values}
    feature = train.Example.FromString(data).features.feature["k"]
    kind = feature.WhichOneof("kind")
    assert list(getattr(feature, kind).value if kind else []) == values


DAMAGED = {
    "cut": encode_example({"image": b"x" * 50})[:-1],
    "number without an end": b"\x0a" + b"\xff" * 11,
    "field 0": b"\x02\x00",
    "end of a group": b"\x0c",
    "number for a message": b"\x08\x01",
    "number for an entry": nested(1, b"\x08\x01"),
    "name that is no text": nested(1, nested(1, nested(1, b"\xff"))),
    "cut floats": example(nested(2, nested(1, b"\x00\x00\x00"))),
    "cut integer": example(nested(3, nested(1, b"\x80"))),
    "integer as bytes": example(nested(1, b"\x08\x01")),
}


@pytest.mark.parametrize("name", list(DAMAGED))
def test_damaged_bytes_are_refused(name):
    with pytest.raises(ValueError, match="^no tf.train.Example: ") as error:
        decode_example(DAMAGED[name])
    assert "\n" not in str(error.value)


def test_damage_anywhere_is_a_value_error_or_other_values():
    rng = random.Random(0)
    good = encode_example({"image": b"x" * 300, "label": [1, -1], "f": 0.5})
    for _ in range(2000):
        bad = bytearray(good)
        bad[rng.randrange(40 if rng.random() < 0.5 else len(bad))] = (
            rng.randrange(256)
        )
        try:
            decode_example(bytes(bad[: rng.randrange(1, len(bad) + 1)]))
        except ValueError:
            pass


@pytest.mark.parametrize("value", [2**63, None, [1, b"a"], [None], object()])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="`features` must .* Received: a="):
        encode_example({"a": value})
