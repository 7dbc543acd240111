"""Judging a density: by its scores, by its latents, by its samples."""

from latens.metrics.association import associations
from latens.metrics.evaluate import Evaluation, evaluate
from latens.metrics.privacy import NearestRecords, nearest_records
from latens.metrics.samples import SampleQuality, density_coverage, frechet_distance, precision_recall, sample_quality
from latens.metrics.topics import coherence, top_words

__all__ = [
    "Evaluation",
    "NearestRecords",
    "SampleQuality",
    "associations",
    "coherence",
    "density_coverage",
    "evaluate",
    "frechet_distance",
    "nearest_records",
    "precision_recall",
    "sample_quality",
    "top_words",
]
