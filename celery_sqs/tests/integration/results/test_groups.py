"""Results of groups, chains and chords."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, chain, group
from celery.app.task import Context
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, GroupResult
from celery_sqs._results.sender import capture_results

if TYPE_CHECKING:
    pass


class OurError(Exception):
    """An error of the tests' own, to come back as itself."""


def send(app: Celery, *args: object) -> AsyncResult:
    return app.send_task("tests.task", args)


def test_groups_and_chains_bring_their_results(
    app: Celery, worker: Callable[..., None], post: Any, names: Any
) -> None:
    task = app.signature("tests.add")
    several = group(task.clone((number,)) for number in range(3)).apply_async()
    for number, result in enumerate(several.results):
        worker(result, number)
    assert several.get(timeout=10) == [0, 1, 2]

    last = chain(task.clone((1,)), task.clone((2,)), task.clone((3,))).apply_async()
    first = last.parent.parent
    embedded = post.bodies[first.id][2]["chain"]
    assert [inner["options"]["reply_to"] for inner in embedded] == [names.response_queue] * 2
    post.properties[last.id] = post.properties[first.id]
    post.properties[last.parent.id] = post.properties[first.id]
    worker(first, 1)
    worker(last.parent, 3)
    worker(last, 6)
    assert last.get(timeout=10) == 6


def test_a_failed_parent_ends_the_wait_for_the_last_of_a_chain(
    app: Celery, worker: Callable[..., None]
) -> None:
    task = app.signature("tests.add")
    last = chain(task.clone((1,)), task.clone((2,))).apply_async()
    worker(last.parent, OurError("first"), "FAILURE")
    with pytest.raises(OurError):
        last.get(timeout=10, interval=0.1)


def test_a_group_fails_with_a_task_of_its_own_not_with_that_tasks_parent(
    app: Celery, worker: Callable[..., None]
) -> None:
    first, last = send(app), send(app)
    last.parent = first
    group = GroupResult("g", [last], app=app)
    worker(first, OurError("first"), "FAILURE")
    with pytest.raises(CeleryTimeoutError):
        group.get(timeout=0.5)
    worker(last, OurError("last"), "FAILURE")
    with pytest.raises(OurError, match="last"):
        group.get(timeout=10)
    assert last.state == "FAILURE"


def test_a_group_behind_a_failed_task_is_not_awaited(
    app: Celery, worker: Callable[..., None]
) -> None:
    first = send(app)
    inner = GroupResult("g", [send(app)], parent=first, app=app)
    worker(first, OurError("first"), "FAILURE")
    for behind in (inner, GroupResult("outer", [inner], app=app)):
        with pytest.raises(OurError, match="first"):
            behind.get(timeout=10)


def test_a_groups_timeout_is_that_of_the_groups_inside_as_well(
    app: Celery, worker: Callable[..., None]
) -> None:
    deep, flat = send(app), send(app)
    inner = GroupResult("inner", [deep], app=app)
    group = GroupResult("outer", [inner, flat], app=app)
    worker(flat, 1)
    with pytest.raises(CeleryTimeoutError):
        group.get(timeout=0.5)
    worker(deep, 2)
    assert group.get(timeout=10) == [[2], 1]
    assert group.get(timeout=0) == [[2], 1]


def test_a_group_waits_for_no_result_that_is_ignored(
    app: Celery, worker: Callable[..., None]
) -> None:
    wanted, ignored = send(app), send(app)
    ignored.ignored = True
    worker(wanted, 1)
    assert GroupResult("g", [wanted, ignored], app=app).get(timeout=10) == [1, None]


def test_a_group_reads_no_store_while_results_are_pushed(
    stored_app: Celery, reads: list[int], worker: Callable[..., None]
) -> None:
    app = stored_app
    results = [send(app, number) for number in range(30)]
    for number, result in enumerate(results):
        worker(result, number)
    assert GroupResult("g", results, app=app).get(timeout=10) == list(range(30))
    assert reads == []
    lost = send(app)
    app.backend.store.write(lost.id, {"status": "SUCCESS", "result": 7}, first=True)
    assert GroupResult("g", [lost], app=app).get(timeout=0.1) == [7]  # its push never comes


def test_waiting_for_a_chord_reads_its_parts_from_the_store_once(
    stored_app: Celery, reads: list[int], worker: Callable[..., None]
) -> None:
    app = stored_app
    parts = [send(app) for _ in range(20)]
    body = send(app)
    body.parent = GroupResult("g", parts, app=app)
    with pytest.raises(CeleryTimeoutError):
        body.get(timeout=1, interval=0.05)
    assert sum(reads) == len(parts) + 1  # Celery's first look, and the body itself at the end
    worker(parts[7], OurError("part"), "FAILURE")
    with pytest.raises(OurError, match="part"):
        body.get(timeout=10, interval=0.05)


def test_a_first_failure_is_stored_without_a_read_but_never_over_a_success(
    stored_app: Celery, reads: list[int]
) -> None:
    backend = stored_app.backend
    request = Context(sqs_receive_count=1)
    failure = (OurError("x"), "FAILURE")
    capture_results(backend.store_result, "by-its-child", *failure, request=request)
    assert reads == []
    backend.store_result("died", 1, "SUCCESS", request=request)
    backend.store_result("died", *failure, request=request)  # the worker's word on its child
    assert AsyncResult("by-its-child", app=stored_app).state == "FAILURE"
    assert AsyncResult("died", app=stored_app).state == "SUCCESS"
