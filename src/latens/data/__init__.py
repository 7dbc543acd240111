"""Raw things become rows of numbers and a `Schema` that says what one row is; and rows become files. No torch."""

from latens.data.columns import Column
from latens.data.images import FolderSource
from latens.data.load import load
from latens.data.schema import Schema, validate
from latens.data.sequences import Sequences, sequences, strings_of
from latens.data.sound.recordings import audio
from latens.data.sound.views import LogMel, Waveform, Windows
from latens.data.source import ArraySource, Source, Subset
from latens.data.sparse import SparseSource
from latens.data.survey import infer_schema
from latens.data.tokens import Bytes, Characters, Own, Tokens, Words
from latens.data.windows import windows
from latens.data.words import bag_of_words
from latens.data.write import grid, to_uint8, write_array, write_strings

__all__ = [
    "ArraySource",
    "Bytes",
    "Characters",
    "Column",
    "FolderSource",
    "LogMel",
    "Own",
    "Schema",
    "Sequences",
    "Source",
    "SparseSource",
    "Subset",
    "Tokens",
    "Waveform",
    "Windows",
    "Words",
    "audio",
    "bag_of_words",
    "grid",
    "infer_schema",
    "load",
    "sequences",
    "strings_of",
    "to_uint8",
    "validate",
    "windows",
    "write_array",
    "write_strings",
]
