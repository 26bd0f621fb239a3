"""Profiles of hypothesis, one thread for tiny models, and the full names data where they are at hand."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

from tests import law_table

collect_ignore = ["fuzz_files.py", "mutation.py"]  # commands, which need packages of their own

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=30, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("thorough", max_examples=500, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("fuzz", max_examples=10_000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile(  # for mutants: no time is spent on finding the smallest example
    "mutation",
    max_examples=15,
    deadline=None,
    suppress_health_check=_SLOW_IS_FINE,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("quick")

torch.set_num_threads(1)  # the models of these tests are too small to share out


def pytest_sessionfinish() -> None:
    """Write down what the batching law was tried on, where that is wanted."""
    law_table.write()


@pytest.fixture(scope="session")
def names_dir() -> Path:
    """The folder of the full names data, which the environment variable SEQCLF_NAMES_DIR names."""
    folder = os.environ.get("SEQCLF_NAMES_DIR")
    if not folder:
        pytest.skip("the full names data are not tested: SEQCLF_NAMES_DIR is not set")
    return Path(folder)
