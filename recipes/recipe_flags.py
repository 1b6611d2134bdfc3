"""absl flags made from the fields of `Recipe`, so the two cannot drift."""

import dataclasses
from pathlib import Path
from typing import get_args

from absl import app, flags

from keras_tricks import Recipe
from keras_tricks._image_size import ImageSize, is_size, parse_size
from keras_tricks.recipe import PRESETS
from keras_tricks.training import Choice, fit_to_data

FLAGFILES = Path(__file__).with_name("flags")
"""Folder of the flagfiles of the paper's tables."""


class _OptionalParser(flags.ArgumentParser):
    """Parses `none`, or what the type's own parser takes."""

    def __init__(self, parse, syntax):
        super().__init__()
        self._parse = parse
        self.syntactic_help = syntax

    def parse(self, argument):
        if argument is None or str(argument).lower() in ("none", ""):
            return None
        try:
            return self._parse(argument)
        except ValueError as error:
            raise ValueError(f"must be {self.syntactic_help}") from error

    def flag_type(self):
        return self.syntactic_help


def _integers(text):
    parts = text if isinstance(text, (list, tuple)) else text.split(",")
    return tuple(int(part) for part in parts)


def _numbers_or(names):
    """Return a parser of numbers or one of some names, and its syntax."""

    def parse(text):
        if text in names:
            return text
        parts = text if isinstance(text, (list, tuple)) else text.split(",")
        return tuple(float(part) for part in parts)

    return parse, f"{', '.join(names)}, numbers with commas between, or none"


def _integer_or(words):
    """Return a parser of an integer or one of some words, and its syntax."""
    syntax = f"an integer or {' or '.join(words)}"
    return lambda text: text if text in words else int(text), syntax


_PARSERS = {
    int: (int, "an integer or none"),
    float: (float, "a number or none"),
    str: (str, "text or none"),
    tuple: (_integers, "integers with commas between them, or none"),
    ImageSize: (parse_size, "an integer, height x width as 224x320, or none"),
}


def define(
    flag_values: flags.FlagValues = flags.FLAGS, preset: bool = True
) -> None:
    """Define `--preset`, `--recipe` and one flag for each field of `Recipe`.

    Only flags that are given change the preset or the recipe.

    Args:
        flag_values: Where to define them.
        preset: Whether to define `--preset` and `--recipe`.
    """
    if preset:
        flags.DEFINE_string(
            "recipe",
            None,
            "recipe.json of a run, or recommended.json of an ablation, to "
            "start from.",
            flag_values=flag_values,
        )
        flags.DEFINE_enum(
            "preset",
            None,
            PRESETS,
            "Row of the paper's tables to start from, not the defaults.",
            flag_values=flag_values,
        )
    for field in dataclasses.fields(Recipe):
        _define(field, flag_values)


def _define(field, flag_values):
    help_ = field.metadata["help"]
    choices = field.metadata["choices"]
    options = {"flag_values": flag_values}
    kinds = get_args(field.type) or (field.type,)
    if type(None) in kinds:
        kind = tuple if get_args(kinds[0]) else kinds[0]
        if is_size(kinds):
            kind = ImageSize
        named = kind is tuple and choices
        parser = _numbers_or(choices) if named else _PARSERS[kind]
        flags.DEFINE(
            _OptionalParser(*parser),
            field.name,
            field.default,
            help_,
            **options,
        )
    elif field.metadata["words"]:
        flags.DEFINE(
            _OptionalParser(*_integer_or(field.metadata["words"])),
            field.name,
            field.default,
            help_,
            **options,
        )
    elif choices:
        texts = [str(choice) for choice in choices]
        flags.DEFINE_enum(
            field.name, str(field.default), texts, help_, **options
        )
    else:
        define = {
            bool: flags.DEFINE_bool,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }[field.type]
        define(field.name, field.default, help_, **options)


def given(flag_values: flags.FlagValues = flags.FLAGS) -> dict:
    """Return the fields of `Recipe` that the command line sets."""
    changes = {}
    for field in dataclasses.fields(Recipe):
        if flag_values[field.name].present:
            value = flag_values[field.name].value
            enum = field.metadata["choices"] and field.type is int
            changes[field.name] = int(value) if enum else value
    return changes


def recipe_from_flags(flag_values: flags.FlagValues = flags.FLAGS) -> Recipe:
    """Return the recipe that the command line asks for.

    Raises:
        ValueError: If values do not fit together, see `Recipe`, or the file
            of `--recipe` is none.
    """
    changes = given(flag_values)
    if flag_values.recipe is not None:
        if flag_values.preset is not None:
            raise ValueError(
                "`preset` must be None with --recipe, which has all fields. "
                f"Received: preset={flag_values.preset!r}"
            )
        try:
            recipe = Recipe.load(flag_values.recipe)
        except ValueError as error:
            text = str(error).replace("`path`", "`recipe`")
            raise ValueError(text.replace("path=", "recipe=")) from None
        return recipe.replace(**changes)
    if flag_values.preset is not None:
        return Recipe.preset(flag_values.preset, **changes)
    return Recipe(**changes)


def fitted_fields(
    flag_values: flags.FlagValues = flags.FLAGS, leave: tuple[str, ...] = ()
) -> tuple[dict, list[Choice]]:
    """Return the fields that the command line sets, and those for its data.

    Data that are named decide what no flag says, see
    `keras_tricks.training.fit_to_data`.

    Args:
        flag_values: The flags.
        leave: Fields that the data do not decide.

    Returns:
        Values by field, and what was chosen.

    Raises:
        Exception: As `fit_to_data`.
    """
    changes = given(flag_values)
    # The digits are the default, named or not.
    if (
        changes.get("data_dir") or changes.get("dataset", "digits")
    ) == "digits":
        return changes, []
    chosen = [c for c in fit_to_data(changes)[1] if c.field not in leave]
    return {**{c.field: c.value for c in chosen}, **changes}, chosen


def fitted_recipe(
    flag_values: flags.FlagValues = flags.FLAGS,
) -> tuple[Recipe, list[Choice]]:
    """Return the recipe that the command line asks for, fitted to its data.

    With a preset or a recipe's file the data decide nothing.

    Returns:
        The recipe, and what was chosen.

    Raises:
        Exception: As `recipe_from_flags` and `fitted_fields`.
    """
    if flag_values.recipe is not None or flag_values.preset is not None:
        return recipe_from_flags(flag_values), []
    fields, chosen = fitted_fields(flag_values)
    return Recipe(**fields), chosen


def parse(argv: list[str]) -> list[str]:
    """Parse the command line; `--flagfile` takes a name of `FLAGFILES` too.

    Give it to `app.run` as `flags_parser`.

    Args:
        argv: The program and its arguments.

    Returns:
        What is left without the flags, as `app.run` wants it.

    Raises:
        SystemExit: If flags are wrong, or there is no such flagfile.
    """
    argv = list(argv)
    for index, argument in enumerate(argv):
        if argument == "--":
            break
        name, sign, value = argument.partition("=")
        if name in ("--flagfile", "-flagfile"):
            if sign:
                argv[index] = f"--flagfile={find_flagfile(value)}"
            elif argv[index + 1 :]:
                argv[index + 1] = find_flagfile(argv[index + 1])
    return app.parse_flags_with_usage(argv)


def find_flagfile(name: str) -> str:
    """Return the path of a flagfile.

    Args:
        name: A path, or the name of a file of `FLAGFILES`, with or without
            `.flags`. A file wins over a name.

    Raises:
        SystemExit: If there is none; the message lists the names.
    """
    path = Path(name).expanduser()
    # absl takes an empty name as no flagfile.
    if path.is_file() or not name:
        return name
    own = FLAGFILES / f"{path.name.removesuffix('.flags')}.flags"
    if path.name == name and own.exists():
        return str(own)
    names = ", ".join(sorted(file.stem for file in FLAGFILES.glob("*.flags")))
    raise SystemExit(
        f"`flagfile` must be a file, or one of {names}. "
        f"Received: --flagfile={name}"
    )
