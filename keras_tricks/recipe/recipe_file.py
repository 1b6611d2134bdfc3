"""Recipes as files: what a run and an ablation leave, read with care."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Self, cast

from keras_tricks._untrusted import parse_json
from keras_tricks.recipe.rules import check_names

RECOMMENDED = "recommended.json"
"""File in the folder of a finished ablation."""


class RecipeFile:
    """How a `Recipe` is written and read.

    Example:
    >>> from keras_tricks import Recipe
    >>> Recipe.from_json(Recipe(epochs=7).to_json()).epochs
    7
    """

    def to_json(self) -> str:
        """Return the recipe as a JSON object, one line for each field."""
        return json.dumps(dataclasses.asdict(cast(Any, self)), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; missing fields take the defaults.

        Raises:
            ValueError: If the text is no JSON object or has unknown fields.
        """
        try:
            content = parse_json(text)
        except ValueError as error:
            raise ValueError(
                f"`text` must be a JSON object ({error}). "
                f"Received: {text[:40]!r}"
            ) from None
        if not isinstance(content, dict):
            raise ValueError(
                f"`text` must be a JSON object. Received: {text[:40]!r}"
            )
        return cls(**check_names(cls, content))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read a recipe.json.

        Raises:
            ValueError: If the file is missing or no recipe.
        """
        try:
            return cls.from_json(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"`path` must be the file of a recipe ({error}). "
                f"Received: path={str(path)!r}"
            ) from None

    @classmethod
    def recommend(cls, folder: str | os.PathLike) -> Self:
        """Return what a finished ablation recommends.

        It is the baseline of the ablation with the tricks that helped beyond
        noise; see `keras_tricks.ablation`.

        Args:
            folder: Folder of the ablation.

        Raises:
            ValueError: If it is none, or is not finished.
        """
        path = Path(folder) / RECOMMENDED
        if not path.exists():
            raise ValueError(
                "`folder` must be that of a finished ablation, with a "
                f"{RECOMMENDED}. Received: folder={str(folder)!r}"
            )
        return cls.load(path)
