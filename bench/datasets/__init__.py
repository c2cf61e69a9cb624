"""Data sets: one file a format; the name of the file is the name that a user types."""

from bench.data.opening import locate_data, open_dataset
from bench.data.types import DATASETS, Dataset, DatasetFormat, Split

__all__ = ["DATASETS", "Dataset", "DatasetFormat", "Split", "locate_data", "open_dataset"]
