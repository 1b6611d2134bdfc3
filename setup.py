"""The packages: recipes/ is installed as keras_tricks/recipes/."""

from setuptools import find_packages, setup

own = find_packages(include=["keras_tricks*"])
setup(packages=[*own, "keras_tricks.recipes"])
