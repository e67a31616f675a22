"""What the system costs a month on AWS, with the arithmetic: ``python -m benchmarks.costs``.

A calculation and no measurement: list prices of :mod:`benchmarks.prices` times figures that were
measured elsewhere (docs/benchmarks.md). A month has 30 days. Its table is shown in
docs/how-to/operations.md.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import prices
from facerec_tasks.prices import HOURLY

DAYS = 30
HOURS = 24 * DAYS
WEB, WORKER = "t3.small", "c7i.large"
DISK_GIB = 8
IMAGES = 3
IMAGE_GIB = 3
"""What the snapshot of an image holds; the disk is larger and mostly empty."""
FLEET = 15
"""Stopped machines that are kept, at most: their disks cost, they do not."""

REST_CALLS = {
    "cloudwatch.PutMetricData": 1_440, "s3.PutObject": 4_320,
    "sqs.GetQueueAttributes": 4_320, "sqs.ReceiveMessage": 4_320 + 2_880,
}  # fmt: skip
"""A day: web and controller as measured at rest, Flower's polls of its own queue, a metric a
minute."""
PHOTO_CALLS = {
    "s3.PutObject": 3, "s3.GetObject": 1, "sqs.SendMessage": 4.22, "sns.PublishBatch": 4,
}  # fmt: skip
"""A photo alone: photo, record and name are put, the photo is got; ``sqs_calls_per_task_single``;
four events. In a burst SQS's are half as many and events go ten to a call."""
PHOTO_BYTES = 200_000
PHOTO_LOG_BYTES = 400
"""A line of the web tier and one of the worker, 26 bytes each that CloudWatch adds included. At
rest nothing is logged."""
SECONDS_A_PHOTO = 0.5
"""Of one process; what the controller assumes until it has seen some. Most photos take less."""
PROCESSES = 2
BURST_SECONDS = 133
"""Billed by the controller for a burst of 100."""
CONTROLLER_CALLS = {
    "sqs.GetQueueAttributes": 43_200, "s3.PutObject": 7_200 + 8_640, "sns.Publish": 5_760,
}  # fmt: skip
"""A day of a controller that works all day: counts every 2 s, lease, decisions, questions."""
LOADS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
"""Photos a day of the table of docs/explanation/scale.md."""
WEB_BASELINE, WEB_VCPUS = 0.20, 2
"""Share of a vCPU that a t3.small may use for ever without paying for credits."""
BALANCED_WEB, WEB_PHOTOS = "c7i.large", 50.0
"""Type of web machines behind a load balancer, and photos a second that one takes, with room for
the day's peak: two processors receive 100 to 200."""
USED = 0.7
"""Of a machine, at most, by the controller's law."""


@dataclass(frozen=True)
class Cost:
    """One line of a bill."""

    what: str
    arithmetic: str
    dollars: float
    """A month."""


def at_rest() -> Iterator[Cost]:
    """Nobody sends anything; no worker runs."""
    yield Cost(f"web-instance, {WEB}", f"{HOURS} h × ${HOURLY[WEB]}", HOURS * HOURLY[WEB])
    yield Cost(
        "its public address", f"{HOURS} h × ${prices.PUBLIC_ADDRESS_HOUR}",
        HOURS * prices.PUBLIC_ADDRESS_HOUR,
    )  # fmt: skip
    yield Cost(
        "its disk", f"{DISK_GIB} GiB × ${prices.DISK_GIB_MONTH}", DISK_GIB * prices.DISK_GIB_MONTH
    )
    yield Cost(
        f"{IMAGES} images", f"{IMAGES} × {IMAGE_GIB} GiB × ${prices.SNAPSHOT_GIB_MONTH}",
        IMAGES * IMAGE_GIB * prices.SNAPSHOT_GIB_MONTH,
    )  # fmt: skip
    yield Cost(
        f"disks of {FLEET} stopped workers (`stop` mode; none with `terminate`)",
        f"{FLEET} × {DISK_GIB} GiB × ${prices.DISK_GIB_MONTH}",
        FLEET * DISK_GIB * prices.DISK_GIB_MONTH,
    )  # fmt: skip
    yield Cost("4 alarms", f"4 × ${prices.ALARM_MONTH:.2f}", 4 * prices.ALARM_MONTH)
    yield Cost("a metric", f"1 × ${prices.METRIC_MONTH:.2f}", prices.METRIC_MONTH)
    calls = sum(REST_CALLS.values())
    yield Cost(
        "calls at rest", f"{calls:,} a day × {DAYS}, by kind",
        prices.dollars({kind: n * DAYS for kind, n in REST_CALLS.items()}),
    )  # fmt: skip


def of_photos(a_day: int) -> Iterator[Cost]:
    """What that number of photos a day adds, evenly over the day: the dearest way to send a few."""
    machines = machines_for(a_day / 86_400)
    yield Cost(
        f"workers, {WORKER}",
        f"{machines} × {HOURS} h × (${HOURLY[WORKER]} + ${prices.PUBLIC_ADDRESS_HOUR})",
        machines * HOURS * (HOURLY[WORKER] + prices.PUBLIC_ADDRESS_HOUR),
    )
    yield Cost(
        "calls", f"{a_day:,} a day × {DAYS} × ({PHOTO_CALLS['s3.PutObject']} PUT, 1 GET, "
        f"{PHOTO_CALLS['sqs.SendMessage']} SQS, {PHOTO_CALLS['sns.PublishBatch']} SNS)",
        prices.dollars({kind: n * a_day * DAYS for kind, n in PHOTO_CALLS.items()}),
    )  # fmt: skip
    yield Cost(
        "calls of a controller that works all day",
        f"{sum(CONTROLLER_CALLS.values()):,} a day × {DAYS}, by kind",
        prices.dollars({kind: n * DAYS for kind, n in CONTROLLER_CALLS.items()}),
    )
    logged = a_day * DAYS * PHOTO_LOG_BYTES / 1e9
    yield Cost(
        "logs",
        f"{a_day:,} × {DAYS} × {PHOTO_LOG_BYTES} B = {logged:,.2f} GB × ${prices.LOG_GB:.2f}",
        logged * prices.LOG_GB,
    )  # fmt: skip
    stored = a_day * DAYS * PHOTO_BYTES / 2**30
    yield Cost(
        "a month's photos, kept (each further month again)",
        f"{a_day:,} × {DAYS} × {PHOTO_BYTES // 1000} kB = {stored:,.0f} GiB × "
        f"${prices.STORED_GIB_MONTH}",
        stored * prices.STORED_GIB_MONTH,
    )


def of_bursts() -> Iterator[Cost]:
    """1,000 photos a day in ten bursts of 100, each from no machine."""
    hourly = HOURLY[WORKER] + prices.PUBLIC_ADDRESS_HOUR
    yield Cost(
        f"workers, {WORKER}",
        f"10 × {BURST_SECONDS} s (docs/benchmarks.md) × {DAYS} × ${hourly:.5f} an hour",
        10 * BURST_SECONDS * DAYS / 3600 * hourly,
    )


def balanced(a_day: int) -> float:
    """Dollars a month of several web machines and their load balancer; none while one is enough."""
    a_second = a_day / 86_400
    count = web_machines(a_second)
    if count == 1:
        return 0.0
    hourly = HOURLY[BALANCED_WEB] + prices.PUBLIC_ADDRESS_HOUR
    gigabytes = a_second * PHOTO_BYTES * 3600 / 1e9
    balancer = prices.BALANCER_HOUR + gigabytes * prices.CAPACITY_UNIT_HOUR
    return HOURS * (count * hourly + balancer)


def web_machines(photos_a_second: float) -> int:
    return max(1, math.ceil(photos_a_second / WEB_PHOTOS))


def machines_for(photos_a_second: float) -> int:
    """Machines that run when photos come evenly: the controller's law without a backlog."""
    return math.ceil(photos_a_second * SECONDS_A_PHOTO / (PROCESSES * USED))


def table() -> str:
    """The bills, in Markdown."""
    lines = ["| | arithmetic | $ a month |", "|---|---|---|"]
    for title, costs in bills().items():
        total = sum(cost.dollars for cost in costs)
        lines.append(f"| **{title}** | | **{total:,.2f}** |")
        lines += [f"| {c.what} | {c.arithmetic} | {c.dollars:,.2f} |" for c in costs]
    return "\n".join(lines)


def credits_at_most() -> float:
    """Dollars a month for a t3.small web-instance whose processors never rest."""
    return WEB_VCPUS * (1 - WEB_BASELINE) * HOURS * prices.CREDIT_VCPU_HOUR


def load_table() -> str:
    """Load against the price of a month, Rekognition's beside it, in Markdown."""
    lines = [
        "| photos a day | workers | web machines | $ a month | $ for 1,000 photos | "
        "Rekognition, $ a month |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    rest = sum(cost.dollars for cost in at_rest())
    for a_day in LOADS:
        month = rest + sum(cost.dollars for cost in of_photos(a_day)) + balanced(a_day)
        photos = a_day * DAYS
        lines.append(
            f"| {a_day:,} | {machines_for(a_day / 86_400):,} | {web_machines(a_day / 86_400)} | "
            f"{month:,.0f} | "
            f"{1000 * month / photos:.3f} | {prices.rekognition(photos):,.0f} |"
        )
    return "\n".join(lines)


def bills() -> dict[str, list[Cost]]:
    return {
        "at rest": list(at_rest()),
        "1,000 photos a day, evenly, add": list(of_photos(1_000)),
        "the same in ten bursts of 100: in the place of the worker above": list(of_bursts()),
        "1,000,000 photos a day, evenly, add": list(of_photos(1_000_000)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--json", action="store_true", help="totals by name, instead of the table")
    if parser.parse_args().json:
        totals = {name: sum(c.dollars for c in costs) for name, costs in bills().items()}
        totals["credits of web-instance, at most"] = credits_at_most()
        print(json.dumps({"figures": totals, "prices": prices.DATE}))
    else:
        print(table(), load_table(), sep="\n\n")


if __name__ == "__main__":
    main()
