"""What every room needs and none owns: values and their text, validation, storage, random keys. No torch."""

from latens.utils.errors import InputError
from latens.utils.random import row_streams
from latens.utils.storage import atomic, atomic_folder, load_tensors, save_tensors, write_bytes, write_text
from latens.utils.text import nearest, parse, text
from latens.utils.validation import check_choice, check_finite, check_fraction, check_positive
from latens.utils.value import Value

__all__ = [
    "InputError",
    "Value",
    "atomic",
    "atomic_folder",
    "check_choice",
    "check_finite",
    "check_fraction",
    "check_positive",
    "load_tensors",
    "nearest",
    "parse",
    "row_streams",
    "save_tensors",
    "text",
    "write_bytes",
    "write_text",
]
