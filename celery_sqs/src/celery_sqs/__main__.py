"""``python -m celery_sqs -A APP COMMAND``: the same as ``celery -A APP sqs COMMAND``."""

import sys

from celery.bin.celery import celery

from celery_sqs._ops.command import sqs


def main() -> None:
    """Works without the entry point too, as in an image that only has the sources."""
    if "sqs" not in celery.commands:
        celery.add_command(sqs, "sqs")
    arguments = sys.argv[1:]
    given = next((n for n, each in enumerate(arguments) if each in sqs.commands), len(arguments))
    celery.main(
        args=[*arguments[:given], "sqs", *arguments[given:]], prog_name="python -m celery_sqs"
    )


if __name__ == "__main__":
    main()
