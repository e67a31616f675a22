"""``facerec aws destroy``: everything of one id, also what was made at run time, and nothing else.

Each step finds what is still there and removes it: a run that was interrupted is finished by the
next one. Names of another id that begins with this one (``lab`` and ``lab-two``) are left alone.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ami_build.errors import PhotosRemain, StillEmptying, Stuck, TookTooLong
from ami_build.image.registry import ID_TAG, delete_snapshot, snapshots_of
from ami_build.stack.bucket_owner import bucket_region
from ami_build.stack.cloudformation import Progress, Stack, video_stack_names
from autoscale.fleet import MEMBER_TAG
from celery_sqs import queues
from facerec_tasks.aws import client, translated
from facerec_tasks.errors import NotFound, Unavailable
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client

DEADLINE = 1800.0
"""Seconds for CloudFormation to delete the stack."""
MACHINES_DEADLINE = 600.0
"""Seconds until EC2 has ended all machines; a security group in use cannot be deleted."""
LOOK_EVERY = 2.0
MANY = 100_000
"""Objects of a bucket from which on S3's lifecycle empties it; fewer are deleted call by call."""
DELETERS = 8
STACK_SUFFIXES = ("-req-queue", "-req-dlq", "-resp-queue")
VIDEO_BUCKETS = ("-input", "-stage-1", "-output")
"""Of the stack of ``serverless/template.yaml``."""
LIVE = ("pending", "running", "stopping", "stopped", "shutting-down")


@dataclass(frozen=True)
class Inventory:
    """What there is of an id. Buckets with the number of their versions and marks."""

    stack: bool
    video_stack: bool
    buckets: dict[str, int]
    photos: int
    """Versions in the buckets of photos, videos and names."""
    machines: tuple[str, ...]
    """Made by the controller or by a bake, not by the stack."""
    images: tuple[str, ...]
    snapshots: tuple[str, ...]
    queues: tuple[str, ...]
    """URLs of those made at run time, and of what a stack left."""
    topics: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not any(self.lines())

    def lines(self) -> Iterator[str]:
        """In words, one kind a line."""
        if self.stack:
            yield "the stack: web-instance, address, roles, queues, alarms, logs of the machines"
        if self.video_stack:
            yield "the stack of videos: functions, roles, queue, alarms"
        for bucket, versions in self.buckets.items():
            count = f"{MANY} or more" if versions >= MANY else str(versions)
            yield f"bucket {bucket} with {count} objects, old versions included"
        for kind in ("machines", "images", "snapshots", "queues", "topics"):
            found = getattr(self, kind)
            if found:
                names = ", ".join(one.rsplit("/", 1)[-1].rsplit(":", 1)[-1] for one in found[:5])
                more = f" and {len(found) - 5} more" if len(found) > 5 else ""
                yield f"{len(found)} {kind}: {names}{more}"


class Destroyer:
    """Of one id. Raises :class:`ami_build.errors.StackError`, and AWS's errors translated."""

    def __init__(self, settings: Settings, say: Progress) -> None:
        self._settings = settings
        self._say = say
        self._stack = Stack(settings)
        self._video_stacks = [Stack(settings, name) for name in video_stack_names(settings.id)]

    @property
    def _ec2(self) -> "EC2Client":
        return client(self._settings, "ec2")

    @property
    def _s3(self) -> "S3Client":
        return client(self._settings, "s3")

    # Look

    def look(self) -> Inventory:
        """What there is now."""
        s = self._settings
        with translated():
            videos = [s.id + suffix for suffix in VIDEO_BUCKETS]
            buckets = {
                bucket: self._count(bucket)
                for bucket in (s.in_bucket, s.out_bucket, *videos, s.state_bucket)
                if bucket_region(s, bucket) == s.region
                and (bucket not in videos or self._is_tagged(bucket))
            }
            images = self._images()
            return Inventory(
                stack=self._stack.find() is not None,
                video_stack=any(stack.find() is not None for stack in self._video_stacks),
                buckets=buckets,
                photos=sum(buckets.values()) - buckets.get(s.state_bucket, 0),
                machines=tuple(self._machines()),
                images=tuple(images),
                snapshots=tuple(self._snapshots(images)),
                queues=tuple(self._queues()),
                topics=tuple(self._topics()),
            )

    def _is_tagged(self, bucket: str) -> bool:
        """Names like ``<ID>-output`` are too common to be known by."""
        try:
            tags = self._s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchTagSet":
                return False
            raise
        return {"Key": ID_TAG, "Value": self._settings.id} in tags

    def _count(self, bucket: str) -> int:
        """Versions and marks, at most :data:`MANY`: a month of photos takes hours to list."""
        count = 0
        for batch in self._versions(bucket):
            count += len(batch)
            if count >= MANY:
                return MANY
        return count

    def _versions(self, bucket: str) -> Iterator[list[dict[str, str]]]:
        """Versions and marks, a thousand at most at a time: what one call deletes."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if found:
                yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]

    def _machines(self) -> Iterator[str]:
        """Members of the fleet and machines of a bake; web-instance goes with the stack."""
        seen: set[str] = set()
        for tag in (MEMBER_TAG, ID_TAG):
            filters = [
                {"Name": f"tag:{tag}", "Values": [self._settings.id]},
                {"Name": "instance-state-name", "Values": list(LIVE)},
            ]
            pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
            seen.update(pages.search("Reservations[].Instances[].InstanceId"))
        if self._stack.find() is not None:
            seen.discard(self._stack.resources().get("WebInstance", ""))
        yield from sorted(seen)

    def _images(self) -> dict[str, tuple[str, ...]]:
        """Snapshots by image."""
        filters = [{"Name": f"tag:{ID_TAG}", "Values": [self._settings.id]}]
        found = self._ec2.describe_images(Owners=["self"], Filters=filters)["Images"]  # type: ignore[arg-type]
        return {image["ImageId"]: snapshots_of(image) for image in found}

    def _snapshots(self, images: dict[str, tuple[str, ...]]) -> Iterator[str]:
        """Those of our images, and those an image that is gone has left."""
        filters = [{"Name": f"tag:{ID_TAG}", "Values": [self._settings.id]}]
        pages = self._ec2.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"],
            Filters=filters,  # type: ignore[arg-type]
        )
        tagged = set(pages.search("Snapshots[].SnapshotId"))
        yield from sorted(tagged.union(*images.values()))

    def _queues(self) -> Iterator[str]:
        found = list(queues.queue_urls(client(self._settings, "sqs"), f"{self._settings.id}-"))
        names = {url: url.rsplit("/", 1)[1] for url in found}
        for url, name in names.items():
            if not _is_anothers(name, names.values(), self._settings.id):
                yield url

    def _topics(self) -> Iterator[str]:
        endings = tuple(
            f":{self._settings.id}-{name}" for name in ("celeryev", "celery-pidbox", "alarms")
        )
        pages = client(self._settings, "sns").get_paginator("list_topics").paginate()
        yield from (arn for arn in pages.search("Topics[].TopicArn") if arn.endswith(endings))

    # Remove

    def remove(self, *, with_photos: bool) -> None:
        """Everything, machines first: nobody may write while buckets and queues go.

        Raises :class:`PhotosRemain` before anything is removed.
        """
        found = self.look()
        if found.photos and not with_photos:
            raise photos_remain(found.photos)
        self._end_web_instance()
        self._end_machines()
        for stack in self._video_stacks:
            self._remove_stack(stack)
        self._remove_stack(self._stack)
        self.remove_images()
        self._remove_queues()
        self._remove_topics()
        small = [bucket for bucket, count in found.buckets.items() if count < MANY]
        for bucket in small:
            self._remove_bucket(bucket)
        large = [bucket for bucket in found.buckets if bucket not in small]
        for bucket in large:
            self._expire(bucket)
        if large:
            raise StillEmptying(
                f"S3 empties {', '.join(large)} by itself, at no cost, in about two days: run this "
                "again then. Everything else is removed"
            )

    def _end_web_instance(self) -> None:
        """Before its fleet: its controller would launch what we terminate."""
        if self._stack.find() is not None:
            resources = self._stack.resources()
            if fleet := resources.get("WebFleet"):
                with translated():
                    client(self._settings, "autoscaling").update_auto_scaling_group(
                        AutoScalingGroupName=fleet,
                        MinSize=0, MaxSize=0, DesiredCapacity=0,
                    )  # fmt: skip
            web = resources.get("WebInstance")
            self._terminate([web] if web else [])

    def _remove_stack(self, stack: Stack) -> None:
        state = stack.find()
        if state is None:
            return
        self._say(f"deleting the stack {stack.name}")
        left = stack.delete(state.id, time.monotonic() + DEADLINE, self._say)
        if left is not None:
            raise Stuck(
                f"{stack.name} is {left.status}: {left.reason}. Remove what it names by hand and "
                "run this again"
            )

    def _end_machines(self) -> None:
        with translated():
            self._terminate(list(self._machines()))

    def _terminate(self, machines: Sequence[str]) -> None:
        if not machines:
            return
        self._say(f"ending {len(machines)} machines")
        with translated():
            self._ec2.terminate_instances(InstanceIds=list(machines))
        deadline = time.monotonic() + MACHINES_DEADLINE
        while self._live(machines):
            if time.monotonic() > deadline:
                raise TookTooLong("EC2 has not ended all machines; run this again")
            time.sleep(LOOK_EVERY)

    def _live(self, machines: Sequence[str]) -> bool:
        filters = [
            {"Name": "instance-id", "Values": list(machines)},
            {"Name": "instance-state-name", "Values": list(LIVE)},
        ]
        with translated():
            return bool(self._ec2.describe_instances(Filters=filters)["Reservations"])  # type: ignore[arg-type]

    def remove_images(self) -> None:
        """The machine images of this id, and their snapshots."""
        with translated():
            images = self._images()
            snapshots = list(self._snapshots(images))
            for image in images:
                self._say(f"deleting image {image}")
                self._ec2.deregister_image(ImageId=image)
            for snapshot in snapshots:
                delete_snapshot(self._ec2, snapshot)

    def _remove_queues(self) -> None:
        """Those made at run time. Subscriptions go with their topics."""
        sqs = client(self._settings, "sqs")
        with translated():
            for url in list(self._queues()):
                self._say(f"deleting queue {url.rsplit('/', 1)[1]}")
                _unless_gone(sqs.delete_queue, QueueUrl=url)

    def _remove_topics(self) -> None:
        sns = client(self._settings, "sns")
        with translated():
            for topic in list(self._topics()):
                pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
                for subscription in pages.search("Subscriptions[].SubscriptionArn"):
                    if subscription.startswith("arn:"):
                        sns.unsubscribe(SubscriptionArn=subscription)
                sns.delete_topic(TopicArn=topic)

    def _remove_bucket(self, bucket: str) -> None:
        self._say(f"emptying and deleting bucket {bucket}")
        try:
            with translated():
                with ThreadPoolExecutor(DELETERS) as pool:
                    for _ in pool.map(partial(self._delete, bucket), self._versions(bucket)):
                        pass
                self._s3.delete_bucket(Bucket=bucket)
        except NotFound:
            pass  # it went with the stack

    def _expire(self, bucket: str) -> None:
        """Has S3 delete every version: faster than any number of calls, and without credentials."""
        self._say(f"S3 empties bucket {bucket} from now on")
        rules: Any = [
            {
                "ID": "everything", "Status": "Enabled", "Filter": {},
                "Expiration": {"Days": 1},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            },
            {
                "ID": "marks", "Status": "Enabled", "Filter": {},
                "Expiration": {"ExpiredObjectDeleteMarker": True},
            },
        ]  # fmt: skip
        with translated():
            self._s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": rules}
            )

    def _delete(self, bucket: str, batch: list[dict[str, str]]) -> None:
        done = self._s3.delete_objects(
            Bucket=bucket,
            Delete={"Objects": batch, "Quiet": True},  # type: ignore[typeddict-item]
        )
        if failed := done.get("Errors"):
            raise Unavailable(f"{len(failed)} objects not deleted: {failed[0].get('Message')}")


def photos_remain(count: int) -> PhotosRemain:
    """The refusal."""
    return PhotosRemain(
        f"{count} photos, videos and names are stored (old versions included). Fetch them first, "
        "or say --with-photos"
    )


def _is_anothers(name: str, names: Any, own_id: str) -> bool:
    """Whether a queue is of a system whose id begins with ours: it has queues of its own."""
    longer = (
        one.removesuffix(suffix)
        for one in names
        for suffix in STACK_SUFFIXES
        if one.endswith(suffix) and one != own_id + suffix
    )
    return any(other.startswith(f"{own_id}-") and name.startswith(f"{other}-") for other in longer)


def _unless_gone(call: Any, **arguments: str) -> None:
    """Somebody else was faster, which is as good."""
    try:
        call(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if not code.endswith(("NotFound", "NonExistentQueue", "QueueDoesNotExist")):
            raise
