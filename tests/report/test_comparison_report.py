import csv
import math
import re

import pytest

from keras_tricks.report import read_run
from keras_tricks.report.comparison_report import (
    decision_lines,
    write_comparison_report,
)
from keras_tricks.report.contrasts import Rule, decide, versus

NASTY = "<b>&\"'|`$x$"


def noise(seed):
    return 0.001 * ((7 * seed) % 5)


@pytest.fixture
def runs(make_run):
    """Three configurations of six seeds: one helps, one is open."""
    ends = {"baseline": 0.80, "cosine": 0.85, "mixup": 0.802}
    found = {}
    for name, end in ends.items():
        found[name] = {}
        for seed in range(6):
            last = end + noise(seed + len(name)) * (1 + (name == "mixup"))
            folder = make_run(
                f"{name}_seed{seed}",
                {
                    "val_accuracy": [0.5, last],
                    "val_crossentropy": [1.5, 0.7],
                },
                {"seed": seed, "schedule": name},
                {
                    "dataset": "digits",
                    "images_per_second": 1000 if name == "baseline" else 800,
                    "peak_memory_bytes": 700_000_000 + 2_000_000 * seed,
                    "parameters": 250_000,
                    "wall_seconds": 3.5,
                },
            )
            found[name][seed] = read_run(folder)
    (found["cosine"][2].folder / "report.html").write_text("")
    return found


CONTRASTS = [versus(name, name, "baseline") for name in ("cosine", "mixup")]


def write(folder, runs, rule=None, failed=None, **options):
    rule = rule or Rule()
    values = {
        name: {s: run.last("val_accuracy") for s, run in some.items()}
        for name, some in runs.items()
    }
    counts = {name: len(some) for name, some in (failed or {}).items()}
    decisions = decide(CONTRASTS, values, rule, counts)
    path = write_comparison_report(
        folder, runs, decisions, rule, failed=failed, **options
    )
    return path, decisions


def test_the_decision_comes_first(runs, tmp_path, read_page):
    path, decisions = write(tmp_path, runs, command="python again.py --seeds=9")
    page = read_page(path)
    text = page.text
    places = [
        text.index(words)
        for words in (
            "Keep: cosine",
            "Undecided, no evidence: mixup (about",
            "python again.py --seeds=9",
            "What each trick brings",
            "Validation accuracy after the last epoch",
        )
    ]
    assert places == sorted(places)
    cosine = decisions[0]
    assert f"{100 * cosine.difference.mean:+.2f}" in text
    low, high = 100 * cosine.low, 100 * cosine.high
    assert f"{low:+.2f} to {high:+.2f}" in text
    assert "1.25 (1.25 to 1.25)" in text  # 1,000 over 800 images/s.
    assert "1.0" in text  # 250,000 weights of 4 bytes in MB.


def test_nothing_is_fetched_or_run(runs, tmp_path, read_page):
    path, _ = write(tmp_path, runs)
    page = read_page(path)
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "link", "iframe", "object", "embed"})
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert links == ["cosine_seed2/report.html"]
    sources = [a["srcset"] for tag, a in page.tags if tag == "source"]
    assert sources and all(s.startswith("data:image/svg") for s in sources)
    assert not re.search(r"https?://|url\(|@import", page.source)


def test_each_picture_is_for_phone_and_desktop_light_and_dark(
    runs, tmp_path, read_page
):
    path, _ = write(tmp_path, runs)
    page = read_page(path)
    media = [a["media"] for tag, a in page.tags if tag == "source"]
    assert len(page.pictures) == 4  # Gains, two curves, cost.
    assert media == 4 * [
        "(max-width: 640px) and (prefers-color-scheme: dark)",
        "(max-width: 640px)",
        "(prefers-color-scheme: dark)",
    ]
    assert "cosine +" in page.source  # What the picture says, in words.


def test_a_phone_gets_cards_with_the_names_of_columns(
    runs, tmp_path, read_page
):
    path, _ = write(tmp_path, runs)
    page = read_page(path)
    cells = [a for tag, a in page.tags if tag == "td"]
    assert all("data-label" in a for a in cells)


def test_failed_runs_are_shown(runs, tmp_path, read_page):
    del runs["cosine"][5]
    failed = {"cosine": {5: "The loss is NaN"}}
    path, _ = write(tmp_path, runs, failed=failed)
    text = read_page(path).text
    assert "Unstable, for runs of it failed: cosine" in text
    assert "5: failed, The loss is NaN" in text
    assert "Keep" not in text


def test_markdown_and_csv_say_the_same(runs, tmp_path):
    failed = {"mixup": {6: "NaN"}}
    write(tmp_path, runs, failed=failed, title="Mine", command="do it")
    text = (tmp_path / "comparison.md").read_text()
    assert text.startswith("# Mine\n")
    assert "- **Keep:** cosine" in text and "do it" in text
    with open(tmp_path / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 19
    some = next(
        r for r in rows if (r["configuration"], r["seed"]) == ("cosine", "2")
    )
    assert float(some["val_accuracy"]) == runs["cosine"][2].last("val_accuracy")
    assert rows[-1]["failed"] == "NaN" and rows[-1]["val_accuracy"] == ""


def test_a_sequential_rule_is_explained(runs, tmp_path, read_page):
    path, decisions = write(tmp_path, runs, Rule(level=0.1, sequential=True))
    text = read_page(path).text
    assert "90 % interval" in text and "however often one looks" in text
    assert math.isfinite(decisions[0].low)


def test_too_small_to_matter(runs, tmp_path, read_page):
    path, _ = write(tmp_path, runs, Rule(smallest_effect=0.01))
    text = read_page(path).text
    assert "Too small to matter: mixup" in text
    assert "within ±1" in text


def test_one_seed_decides_nothing(runs, tmp_path, read_page):
    one = {name: {0: some[0]} for name, some in runs.items()}
    path, decisions = write(tmp_path, one)
    text = read_page(path).text
    assert "cosine (two seeds at least are needed)" in text
    assert {d.verdict for d in decisions} == {"no evidence"}


def test_runs_that_do_not_say_how_fast_they_were(runs, tmp_path, read_page):
    del runs["cosine"][0].result["images_per_second"]
    runs["baseline"][1].result["images_per_second"] = None
    path, _ = write(tmp_path, runs)
    assert "1.25 (1.25 to 1.25)" in read_page(path).text
    for run in runs["cosine"].values():
        run.result["images_per_second"] = None
    write(tmp_path, runs)
    _, question, row = (
        (tmp_path / "comparison.md").read_text().split("| cosine | ")
    )
    assert question.splitlines()[0].endswith("| – |")
    # The median of the peaks of memory stays.
    assert row.splitlines()[0].endswith("| – | 705 |")


def test_variance_of_the_data_split(runs, tmp_path, read_page):
    for seed, run in runs["baseline"].items():
        run.recipe["split_seed"] = seed % 3
    path, _ = write(tmp_path, runs)
    assert "standard deviation between data splits" in read_page(path).text


def test_nasty_names(runs, tmp_path, read_page):
    run = runs["baseline"][0]
    failed = {"baseline": {9: NASTY}}
    path = write_comparison_report(
        tmp_path, {"baseline": {0: run}}, [], Rule(), title=NASTY, failed=failed
    )
    page = read_page(path)
    assert NASTY in page.text and "<b>&" not in page.source
    assert decision_lines([]) == [{"label": "", "text": "Nothing to compare."}]


def test_no_complete_run(tmp_path):
    with pytest.raises(ValueError, match="`runs` must hold a complete run"):
        write_comparison_report(tmp_path, {"a": {}}, [], Rule())
