"""The tool: ``latens VERB ...``. Results go to the standard output, everything else to the standard error."""

from latens.cli.app import main

__all__ = ["main"]
