"""Fixtures of the flows: the pipeline's processes with a hospital in HAPI, and a small phantom study."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from inference.training.phantom import scanned
from inference.training.study import write_study
from tests.flows.files import read_folder
from tests.flows.pipeline import HOSPITAL, PROGRAMS, Clinic
from tests.flows.queues import Queues
from tests.servers.stack import Stack


@pytest.fixture(scope="session")
def clinic(servers: Stack) -> Iterator[Clinic]:
    """The pipeline with a hospital whose patients have our MRN."""
    clinic = Clinic(servers.need(*PROGRAMS))
    if not clinic.search("Organization", identifier=HOSPITAL):
        clinic.create(
            {
                "resourceType": "Organization",
                "active": True,
                "name": "Demo Hospital",
                "identifier": [
                    {"system": "urn:neuronova:patient-identifier-system", "value": "urn:neuronova:mrn"}
                ],
            }
        )
    yield clinic
    clinic.close()


@pytest.fixture
def queues(clinic: Clinic) -> Iterator[Queues]:
    """The workers' queues."""
    queues = Queues(clinic)
    yield queues
    queues.close()


@pytest.fixture(scope="session")
def brain(tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """A phantom with all four series, small enough for a test: 4 x 16 slices of 64 x 64."""
    directory: Path = tmp_path_factory.mktemp("brain")
    write_study(
        directory,
        scanned(9101, (16, 64, 64)),
        patient_id="X",
        patient_name="Demo^Patient",
        birth_date="19800101",
        sex="F",
    )
    return list(read_folder(directory))


@pytest.fixture(scope="session")
def single_series(brain: list[Dataset]) -> list[Dataset]:
    """One series of it: a study that no bundle accepts, for tests that are about images only."""
    first = brain[0].SeriesInstanceUID
    return [dataset for dataset in brain if dataset.SeriesInstanceUID == first]
