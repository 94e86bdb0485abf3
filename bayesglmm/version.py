"""The version of the package: of releases, of files, of reports."""

__version__ = "0.1.0"
