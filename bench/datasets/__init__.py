"""Data set formats, one file each; the file's name is the format's name."""

from bench.data.location import locate_data
from bench.data.opening import open_dataset
from bench.data.types import DATASETS, Dataset, DatasetFormat, Split

__all__ = ["DATASETS", "Dataset", "DatasetFormat", "Split", "locate_data", "open_dataset"]
