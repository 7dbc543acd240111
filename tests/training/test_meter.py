import math

import numpy as np
import torch

from latens.training.meter import PAGE, Bad, Meter


def test_means_are_weighted_by_rows():
    rng = np.random.default_rng(0)
    loss, rates, rows = rng.normal(size=9), rng.normal(size=(9, 4)), rng.integers(1, 50, 9)
    meter = Meter()
    for i in range(9):
        meter.add({"loss": torch.tensor(loss[i]), "rate": torch.tensor(rates[i])}, int(rows[i]))
        if i == 4:
            meter.flush()
    means = meter.means()
    np.testing.assert_allclose(means["loss"], np.average(loss, weights=rows), rtol=1e-6)
    np.testing.assert_allclose(means["rate"], np.average(rates, axis=0, weights=rows), rtol=1e-6)


def test_state_is_taken_up_again():
    whole, half = Meter(), Meter()
    for i in range(6):
        terms = {"loss": torch.tensor(float(i)), "rate": torch.tensor([1.0, float(i)])}
        whole.add(terms, 2 + i)
        half.add(terms, 2 + i)
        half = Meter.restored(half.state())
    assert half.means() == whole.means()
    assert half.batches == 6


def test_the_first_number_that_is_not_finite_is_named():
    meter = Meter()
    for i in range(5):
        wrong = math.inf if i == 3 else 1.0
        meter.add({"loss": torch.tensor(wrong), "rate": torch.tensor([1.0, wrong])}, 1)
        if i == 1:
            meter.flush()
    meter.flush()
    assert meter.bad == Bad("rate", math.inf, 3)


def test_figures_of_many_batches_are_kept_on_one_page():
    meter, pages, n = Meter(), set(), 2 * PAGE + 3
    numbers = torch.arange(3.0 * n).reshape(n, 3)
    for row in numbers:
        meter.add({"loss": row[0], "rates": row[1:]}, 1)
        pages.add(meter._page.untyped_storage().data_ptr())
    assert len(pages) == 1
    assert meter.means() == {"loss": numbers[:, 0].mean(), "rates": numbers[:, 1:].mean(0).tolist()}
    assert meter.batches == n
