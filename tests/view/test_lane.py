"""Work in a lane, the most urgent first: pytest tests/view/test_lane.py"""

import threading

import pytest

from ginr_cli.view.lane import Lane, Urgency


def test_the_most_urgent_goes_first_and_what_is_given_up_is_left_out() -> None:
    lane, done, gate = Lane("test"), list[str](), threading.Event()
    lane.submit(Urgency.VIEW, gate.wait)
    order = [
        lane.submit(urgency, done.append, name)
        for urgency, name in ((Urgency.AHEAD, "ahead"), (Urgency.SAVE, "save"), (Urgency.VIEW, "one"),
                              (Urgency.VIEW, "two"), (Urgency.VIEW, "given up"))
    ]  # fmt: skip
    order[-1].cancel()
    gate.set()
    order[0].result(10)
    assert done == ["one", "two", "save", "ahead"]


def test_long_work_makes_way_for_what_somebody_waits_for() -> None:
    lane, done, begun, gate = Lane("test"), list[str](), threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        gate.wait(10)
        done.append("begun")
        lane.make_way()
        done.append("ended")

    work = lane.submit(Urgency.SAVE, long)
    begun.wait(10)
    lane.submit(Urgency.VIEW, done.append, "tile")
    last = lane.submit(Urgency.AHEAD, done.append, "ahead")
    gate.set()
    last.result(10)
    assert work.done() and done == ["begun", "tile", "ended", "ahead"]


def test_an_error_is_that_of_its_work_alone() -> None:
    lane = Lane("test")
    with pytest.raises(ZeroDivisionError):
        lane.submit(Urgency.VIEW, lambda: 1 / 0).result(10)
    assert lane.submit(Urgency.VIEW, lambda: 3).result(10) == 3
