import json

import pytest

from keras_tricks.data.pipeline.bad_records import BadRecords, TooManyBadRecords


def test_each_is_reported_once(capsys, tmp_path):
    bad = BadRecords(30, tmp_path / "bad.tsv")
    for i in range(25):
        bad.add(i, f"{i}.jpg", f"{i}.jpg: cut off")
    bad.report()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Skipped 25 unreadable records:"
    assert lines[1] == "  0.jpg: cut off"
    assert lines[-1] == f"  and 5 more, all in {tmp_path / 'bad.tsv'}"
    bad.report()
    assert capsys.readouterr().err == ""
    bad.add(25, "25.jpg", "no image")
    bad.report()
    assert capsys.readouterr().err.splitlines()[1] == "  25.jpg: no image"
    assert len((tmp_path / "bad.tsv").read_text().splitlines()) == 26


def test_one_more_than_allowed_is_an_error():
    bad = BadRecords(1)
    bad.add(3, "3.jpg", "3.jpg: cut off")
    bad.add(3, "3.jpg", "3.jpg: cut off")
    with pytest.raises(
        TooManyBadRecords,
        match=r"At most 1 .*`max_bad_records`.*3.jpg: cut off and 1 more$",
    ):
        bad.add(4, "4.jpg", "empty")
    assert 4 in bad


def test_the_state_is_json(capsys):
    bad = BadRecords(2)
    bad.add(7, "7.jpg", "empty")
    other = BadRecords(2)
    other.set_state(json.loads(json.dumps(bad.get_state())))
    assert other.reasons == bad.reasons
    other.report()
    assert capsys.readouterr().err == ""


def test_a_limit_is_a_number():
    with pytest.raises(ValueError, match="`max_bad_records` must be an int"):
        BadRecords(-1)
