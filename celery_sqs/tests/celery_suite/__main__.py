"""``make celery-suite``: what passes on Redis passes on SQS, but for a written list.

Downloads the source distributions of the installed celery and kombu, runs their integration tests
on Redis and on this library, prints the table, and fails when a test passes on Redis and not on SQS
without standing in ``docs/limits.md``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from celery_suite import jobs
from celery_suite.comparison import Comparison, compare, outlived, table, unexplained
from celery_suite.limits import read_limits
from celery_suite.servers import ServerMissing, require_redis
from celery_suite.sources import unpack_tests

CACHE = Path.home() / ".cache" / "celery-sqs-suite"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        require_redis()
    except ServerMissing as error:
        print(f"celery-suite needs Redis to compare with: {error}", file=sys.stderr)
        return 2
    wanted = [s for s in jobs.SUITES if not options.only or any(o in s.name for o in options.only)]
    options.logs.mkdir(parents=True, exist_ok=True)
    todo = [
        jobs.Job(suite, broker, shard, options.select, options.store)
        for suite in wanted
        for broker in (options.broker or jobs.BROKERS)
        for shard in range(1, suite.shards + 1)
    ]
    found = _run(todo, options, options.jobs)
    found += _run(_second_tries(compare(found), options.store), options, 1)
    return _report(found, options)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m celery_suite", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="files, such as: canvas tasks")
    parser.add_argument("--broker", nargs="+", choices=jobs.BROKERS, help="default: both")
    parser.add_argument("--store", choices=jobs.STORES, default="dynamodb", help="of results")
    parser.add_argument("-k", dest="select", default="", help="tests, as pytest's -k")
    parser.add_argument("--jobs", type=int, default=4, help="processes of pytest at once")
    parser.add_argument("--logs", type=Path, default=Path("celery-suite-logs"), help="folder")
    parser.add_argument("--cache", type=Path, default=CACHE, help="of source distributions")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


def _run(
    todo: Sequence[jobs.Job], options: argparse.Namespace, at_once: int
) -> list[jobs.Outcomes]:
    sources = {p: unpack_tests(p, options.cache) for p in {job.suite.project for job in todo}}

    def run(job: jobs.Job) -> jobs.Outcomes:
        outcomes = jobs.run(job, sources[job.suite.project], options.logs)
        passed = sum(test.outcome == "passed" for test in outcomes.tests)
        print(f"{job.name}: {passed} of {len(outcomes.tests)} passed", file=sys.stderr, flush=True)
        return outcomes

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(run, todo))


def _second_tries(compared: dict[str, Comparison], store: str) -> list[jobs.Job]:
    """Celery itself repeats a failed test up to five times; here once, alone, and it is counted."""
    suites = {suite.name: suite for suite in jobs.SUITES}
    return [
        jobs.Job(suites[name], jobs.SQS, store=store, only=tuple(o.test for o in failed))
        for name, each in compared.items()
        if (failed := [o for o in each.behind().values() if o.test and o.outcome == "failed"])
    ]


def _report(found: Sequence[jobs.Outcomes], options: argparse.Namespace) -> int:
    compared, limits = compare(found), read_limits()
    missing = unexplained(compared, limits)
    errors = [f"{o.job.name}: {o.error}" for o in found if o.error]
    if options.json:
        print(json.dumps(_as_json(compared, missing, errors)), flush=True)
    else:
        print(table(compared))
        for test, outcome in missing.items():
            print(f"BEHIND REDIS: {test}: {outcome.outcome}: {outcome.reason}")
        for test in outlived(compared, limits):
            print(f"passes now, and can leave docs/limits.md: {test}")
        for error in errors:
            print(f"ERROR: {error}")
    return 1 if missing or errors else 0


def _as_json(
    compared: dict[str, Comparison], missing: dict[str, jobs.Outcome], errors: list[str]
) -> dict[str, object]:
    return {
        "suites": {
            name: {broker: each.counts(broker) for broker in jobs.BROKERS}
            for name, each in compared.items()
        },
        "tests": {
            name: {b: {t: asdict(o) for t, o in each.on[b].items()} for b in jobs.BROKERS}
            for name, each in compared.items()
        },
        "behind": {test: asdict(outcome) for test, outcome in missing.items()},
        "errors": errors,
    }


if __name__ == "__main__":
    sys.exit(main())
