"""One loop that minimises any loss, and knows nothing of what it trains.

    history = minimise(module, loss, ResidentBatches(x), Recipe(epochs=20))

A step is: loss, gradient, one fused pass of AdamW with clipping inside it. Nothing in it waits for the device.
"""

from latens.training.batches import Batch, Batches, ResidentBatches, StreamingBatches
from latens.training.events import (
    EpochEnd,
    Event,
    History,
    Recovered,
    Started,
    Stopped,
    Tick,
    TrainingError,
)
from latens.training.loop import Loss, minimise
from latens.training.parallel import leads, local_device
from latens.training.players import Player, WhileGrowing
from latens.training.recipe import Recipe
from latens.training.schedule import Constant, Cosine, Cyclical, Linear, Schedule, Sigmoid, Steps, at

__all__ = [
    "Batch",
    "Batches",
    "Constant",
    "Cosine",
    "Cyclical",
    "EpochEnd",
    "Event",
    "History",
    "Linear",
    "Loss",
    "Player",
    "Recipe",
    "Recovered",
    "ResidentBatches",
    "Schedule",
    "Sigmoid",
    "Started",
    "Steps",
    "Stopped",
    "StreamingBatches",
    "Tick",
    "TrainingError",
    "WhileGrowing",
    "at",
    "leads",
    "local_device",
    "minimise",
]
