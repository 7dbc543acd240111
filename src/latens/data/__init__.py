"""Raw things become rows of numbers and a `Schema` that says what one row is; and rows become files. No torch."""

from latens.data.columns import Column
from latens.data.images import FolderSource
from latens.data.load import load
from latens.data.schema import Schema, validate
from latens.data.sound.recordings import audio
from latens.data.sound.views import LogMel, Waveform, Windows
from latens.data.source import ArraySource, Source, Subset
from latens.data.survey import infer_schema
from latens.data.windows import windows
from latens.data.write import grid, to_uint8, write_array

__all__ = [
    "ArraySource",
    "Column",
    "FolderSource",
    "LogMel",
    "Schema",
    "Source",
    "Subset",
    "Waveform",
    "Windows",
    "audio",
    "grid",
    "infer_schema",
    "load",
    "to_uint8",
    "validate",
    "windows",
    "write_array",
]
