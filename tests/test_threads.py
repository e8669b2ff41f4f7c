import time
from threading import Barrier, Thread

import pytest
import torch

from audio_anomaly_detector.threads import each_on_one_thread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_results_keep_the_order_of_the_pieces() -> None:
    def work(piece: int) -> int:
        time.sleep(0.01 * (3 - piece))
        return piece

    assert each_on_one_thread(work, range(4)) == [0, 1, 2, 3]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("pieces", [1, 3])
def test_each_piece_has_one_thread_and_the_caller_its_own_again(pieces: int) -> None:
    assert each_on_one_thread(lambda _: torch.get_num_threads(), range(pieces)) == [1] * pieces
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_comes_out_and_the_threads_are_as_before() -> None:
    with pytest.raises(ZeroDivisionError):
        each_on_one_thread(lambda piece: 1 // piece, range(3))
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_overlapping_calls_leave_everybody_their_threads() -> None:
    """A service scores from many threads at once; none of them may end up single-threaded."""
    seen: list[int] = []
    both = Barrier(2)

    def caller() -> None:
        torch.set_num_threads(2)
        both.wait()
        each_on_one_thread(lambda _: time.sleep(0.02), range(3))
        seen.append(torch.get_num_threads())

    callers = [Thread(target=caller) for _ in range(2)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    fresh = Thread(target=lambda: seen.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert [*seen, torch.get_num_threads()] == [2, 2, 2, 2]
