import threading

import numpy as np
import pytest
import torch

from latens.training import batches as room
from latens.training.batches import ResidentBatches, StreamingBatches
from latens.utils.errors import InputError


class Table:
    def __init__(self, array, failing=None):
        self.array, self.failing = array, failing

    def __len__(self):
        return len(self.array)

    def take(self, indices):
        if self.failing is not None and self.failing in indices:
            raise OSError(f"row {self.failing} cannot be read")
        return self.array[indices]


ROWS = np.arange(60, dtype=np.uint8).reshape(30, 2)
MAKERS = {
    "resident": lambda: ResidentBatches(torch.from_numpy(ROWS)),
    "streaming": lambda: StreamingBatches(Table(ROWS)),
}


@pytest.fixture(params=MAKERS, name="batches")
def _batches(request):
    return MAKERS[request.param]()


def _epoch(batches, *args, **kwargs):
    return np.concatenate([x.numpy() for (x,) in batches.epoch(*args, **kwargs)])


def test_an_epoch_covers_every_row_once(batches):
    seen = _epoch(batches, 5, seed=0, epoch=0)
    assert seen.dtype == np.uint8
    assert seen[np.argsort(seen[:, 0])].tolist() == ROWS.tolist()
    assert seen.tolist() != ROWS.tolist()


def test_rows_left_over_are_others_in_the_next_epoch(batches):
    epochs = [_epoch(batches, 7, seed=0, epoch=e)[:, 0].tolist() for e in range(150)]
    assert all(len(set(seen)) == 28 for seen in epochs)
    assert set.intersection(*map(set, epochs)) == set()


def test_the_order_is_a_function_of_seed_and_epoch(batches):
    first = _epoch(batches, 5, seed=3, epoch=2)
    assert np.array_equal(first, _epoch(batches, 5, seed=3, epoch=2))
    assert not np.array_equal(first, _epoch(batches, 5, seed=3, epoch=1))
    assert not np.array_equal(first, _epoch(batches, 5, seed=4, epoch=2))


def test_an_epoch_goes_on_where_it_stopped(batches):
    assert np.array_equal(_epoch(batches, 5, 0, 0)[20:], _epoch(batches, 5, 0, 0, start_step=4))


def test_processes_share_every_batch(batches):
    whole = _epoch(batches, 6, 0, 0).reshape(5, 2, 3, 2)
    for rank in range(2):
        assert np.array_equal(whole[:, rank].reshape(-1, 2), _epoch(batches, 6, 0, 0, rank=rank, world=2))


def test_fewer_rows_than_a_batch(batches):
    (batch,) = list(batches.epoch(100, 0, 0))
    assert len(batch[0]) == 30


def test_in_order_with_a_short_last_batch(batches):
    parts = [x.numpy() for (x,) in batches.sequential(8)]
    assert [len(p) for p in parts] == [8, 8, 8, 6]
    assert np.array_equal(np.concatenate(parts), ROWS)
    shares = [x.numpy() for rank in range(2) for (x,) in batches.sequential(8, rank, 2)]
    assert sorted(np.concatenate(shares)[:, 0].tolist()) == ROWS[:, 0].tolist()


def test_gathering_many_batches_at_once_changes_nothing(monkeypatch):
    batches = MAKERS["resident"]()
    together = _epoch(batches, 4, 0, 0)
    monkeypatch.setattr(room, "_CHUNK_BYTES", 1)
    assert np.array_equal(together, _epoch(batches, 4, 0, 0))


def test_several_tensors_stay_together():
    x = torch.arange(20)
    for a, b in ResidentBatches(x, x.double() ** 2).epoch(5, 0, 0):
        assert torch.equal(a.double() ** 2, b)
    with pytest.raises(InputError, match=r"\[3, 4\]"):
        ResidentBatches(torch.zeros(3), torch.zeros(4))


def test_a_reader_s_error_is_raised_and_its_threads_end():
    before = threading.active_count()
    with pytest.raises(OSError, match="row 17 cannot be read"):
        _epoch(StreamingBatches(Table(ROWS, failing=17)), 5, 0, 0)
    assert threading.active_count() == before


def test_an_abandoned_stream_ends_its_threads():
    before = threading.active_count()
    stream = MAKERS["streaming"]().epoch(2, 0, 0)
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_reading_ahead_is_bounded():
    read = []
    table = Table(ROWS)
    take = table.take
    table.take = lambda indices: (read.append(len(indices)), take(indices))[1]
    stream = StreamingBatches(table, ahead=3).epoch(2, 0, 0)
    next(stream)
    stream.close()
    assert len(read) <= 4


def test_a_world_larger_than_a_batch_is_refused():
    with pytest.raises(InputError, match="Each of 8 processes needs a row"):
        list(MAKERS["resident"]().epoch(4, 0, 0, world=8))
