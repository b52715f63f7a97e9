"""The datasets that the build knows, by name."""

from ipdata.datasets.base import Dataset
from ipdata.datasets.folder import FOLDER
from ipdata.datasets.hmdb51 import HMDB51
from ipdata.datasets.kinetics_n50 import KINETICS_N50
from ipdata.datasets.synthetic import SYNTHETIC
from ipdata.datasets.ucf101 import UCF101
from ipdata.errors import BuildError

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (HMDB51, UCF101, KINETICS_N50, FOLDER, SYNTHETIC)}


def dataset_of(name: str) -> Dataset:
    """The dataset of this name. Raises BuildError that lists the known names."""
    if name not in DATASETS:
        raise BuildError(f'unknown dataset "{name}"; known: {", ".join(DATASETS)}')
    return DATASETS[name]
