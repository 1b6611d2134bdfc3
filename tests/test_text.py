"""Text of others as it is shown."""

import csv
import io
import os

import pytest

from keras_tricks._checks import first_line
from keras_tricks._files import write_atomically
from keras_tricks._text import as_table, class_name, printable

SHOWN = {
    "plain ~ é 猫 🐈\u200d⬛ x\u00a0y": "plain ~ é 猫 🐈\u200d⬛ x\u00a0y",
    os.fsdecode(b"na\xef"): "na\\xef",
    "a\nb\r\tc\0": "a\\nb\\r\\tc\\x00",
    "\x1b[31mred\x9b0m\x7f": "\\x1b[31mred\\x9b0m\\x7f",
    "gpj\u202egnp.\u2066x": "gpj\\u202egnp.\\u2066x",
    "line\u2028page\u2029\ufeff": "line\\u2028page\\u2029\\ufeff",
    "half \ud83d a pair": "half \\ud83d a pair",
    "C:\\new": "C:\\new",
}


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_escaped(text):
    shown = printable(text)
    assert shown == SHOWN[text] == printable(shown)
    assert len(shown.splitlines()) == 1
    shown.encode("utf-8")
    assert class_name(class_name(text)) == class_name(text)
    assert len(first_line(ValueError(text)).splitlines()) == 1


def test_a_table_is_read_back_and_computes_nothing():
    cells = ["=1+1", "+1", "-2", "@sum", 'a "b"\t', "\t=1", "plain", -2]
    text = as_table([cells, [os.fsdecode(b"\xff=")]])
    rows = list(csv.reader(io.StringIO(text), "excel-tab"))
    assert rows[0] == [
        "'=1+1", "'+1", "'-2", "'@sum", 'a "b"\\t', "\\t=1", "plain", "-2"
    ]  # fmt: skip
    assert rows[1] == ["\\xff="] and text.endswith("\n")


def test_any_text_is_written(tmp_path):
    path = write_atomically(tmp_path / "a.txt", os.fsdecode(b"na\xef \xc3\xa9"))
    assert path.read_text("utf-8") == "na\\udcef é"
