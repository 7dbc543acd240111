"""``report.html``: one page that holds all it shows."""

from __future__ import annotations

from pathlib import Path

from latens.cli.report.page import page
from latens.cli.study import Study
from latens.utils import write_text


def write_report(path: Path, study: Study) -> None:
    """The page of a study, whole or not at all."""
    write_text(path, page(study))
