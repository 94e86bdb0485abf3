"""Designs of tables that do not fit into memory.

A table is read twice. The first reading surveys it: it finds rows that hold every level, and every combination of
levels, that there is (`survey`); on these few the formula is bound by the code for data in memory, so that levels,
codings and columns are the same (`learn`). The second reading codes all rows with what was learned, writes the
numbers to a folder, sorted into parts by the levels of the largest grouping factor (`spool`), and adds up their
moments, from which the default priors follow (`moments`).
"""

from bayesglmm.design.stored.bind import LearnedRows, StoredRows, bind_learned, bind_source
from bayesglmm.design.stored.spool import Spool, SpooledPart

__all__ = ["LearnedRows", "Spool", "SpooledPart", "StoredRows", "bind_learned", "bind_source"]
