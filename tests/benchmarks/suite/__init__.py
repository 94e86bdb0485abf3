"""The same models in bayesglmm and in its peers, side by side: `make bench` (see docs/benchmarks.md).

    problems.py      what is fitted: one table
    contestants/     who fits: one small file each, which registers itself; R scripts beside those that are R packages
    bars.py          what is demanded of the ratios, met or missed
    page.py          docs/benchmarks.md
    prepare.py       data of a problem, as files that every contestant reads        (a process of its own)
    fit.py           one fit by a Python contestant                                 (a process of its own)
    assess.py        effective sample sizes and R-hat of anybody's draws            (a process of its own)
    runner.py        starts these processes in turn, with empty caches and again
    table.py         results -> ratios -> Markdown

`runner`, `table`, `problems` and the registry use the standard library alone: the peak of a process's memory is
counted from that of its parent, so the parent stays small; and peers run in environments that lack bayesglmm.
"""
