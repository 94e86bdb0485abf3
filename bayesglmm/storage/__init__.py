"""Files: one JSON document and named arrays, in netCDF or zarr. Knows nothing of models.

What is in a file is data and nothing else: numbers, text, and a document that lists them with their checksums.
"""

from bayesglmm.storage.files import kind_of, read, write
from bayesglmm.storage.record import Record, Variable

__all__ = ["Record", "Variable", "kind_of", "read", "write"]
