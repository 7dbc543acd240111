"""What every room needs and none owns: values and their text, validation, storage, random keys. No torch."""
