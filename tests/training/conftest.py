"""A recipe that training tests start from."""

import pytest
from tiny_training import short_recipe

from headstart.training.options.recipe import Recipe


@pytest.fixture
def recipe() -> Recipe:
    """A short full fine-tuning with SGD, everything optional switched off."""
    return short_recipe()
