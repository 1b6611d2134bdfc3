import keras
import pytest


@pytest.fixture
def unfilled():
    """Creates variables without values: only their shapes are wanted."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()
