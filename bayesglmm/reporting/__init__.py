"""A report of a fit, for those who were not there. A new section is a function that is named in `page`."""

from bayesglmm.reporting.page import report_html, write_report

__all__ = ["report_html", "write_report"]
