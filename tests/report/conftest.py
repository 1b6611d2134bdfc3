import base64
import html.parser
import json
import re
import xml.etree.ElementTree

import pytest


class Page(html.parser.HTMLParser):
    """The tags of a page with their attributes, its text and pictures."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text("utf-8")
        self.tags, self._text = [], []
        self.feed(self.source)
        self.close()
        text = " ".join(" ".join(self._text).split())
        self.text = text.replace("\N{NO-BREAK SPACE}", " ")
        images = [attributes for tag, attributes in self.tags if tag == "img"]
        drawn = [i for i in images if "image/svg+xml" in i["src"]]
        self.pictures = [self._picture(attributes) for attributes in drawn]
        self.photos = [self._photo(i) for i in images if i not in drawn]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.lasttag != "style":
            self._text.append(data)

    def _picture(self, attributes):
        kind, code = attributes["src"].split(",")
        assert kind == "data:image/svg+xml;base64"
        assert attributes["alt"]
        svg = base64.b64decode(code, validate=True).decode("utf-8")
        xml.etree.ElementTree.fromstring(svg)
        return svg

    def _photo(self, attributes):
        kind, code = attributes["src"].split(",")
        assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
        assert attributes["alt"]
        return base64.b64decode(code, validate=True)

    def assert_self_contained(self):
        """Checks that a browser fetches and runs nothing for the page."""
        assert {tag for tag, _ in self.tags}.isdisjoint(
            {"script", "link", "iframe", "object", "embed", "base"}
        )
        names = {name for _, attributes in self.tags for name in attributes}
        assert not any(name.startswith("on") for name in names)
        assert names.isdisjoint({"href", "srcset", "data", "action"})
        for tag, attributes in self.tags:
            assert "src" not in attributes or tag == "img"
        assert not re.search(r"https?://|url\(|@import", self.source)


@pytest.fixture
def read_page():
    """A function that reads an HTML file."""
    return Page


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run folder from columns and settings."""

    def write(name, columns, recipe=None, result=None, explain=None):
        folder = tmp_path / name
        folder.mkdir()
        length = len(next(iter(columns.values())))
        columns = {"epoch": range(length), **columns}
        lines = [",".join(columns)]
        rows = zip(*columns.values(), strict=True)
        lines += [",".join(map(str, row)) for row in rows]
        (folder / "history.csv").write_text("\n".join(lines) + "\n")
        if recipe is not None:
            (folder / "recipe.json").write_text(json.dumps(recipe))
        if result is not None:
            (folder / "result.json").write_text(json.dumps(result))
        if explain is not None:
            (folder / "explain.txt").write_text(explain, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def make_seeds(make_run):
    """A function that writes a run of two epochs for each value."""

    def write(name, values, metric="val_accuracy", seeds=None, **recipe):
        pairs = zip(seeds or range(len(values)), values, strict=True)
        return [
            make_run(
                f"{name}-{index}",
                {metric: [0.1, value]},
                recipe={"seed": seed, **recipe},
            )
            for index, (seed, value) in enumerate(pairs)
        ]

    return write
