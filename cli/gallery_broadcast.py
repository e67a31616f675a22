"""Broadcasts to running workers that the gallery has changed."""

import click

from ami_build.stack.bucket_owner import check_region
from facerec_tasks.app import app
from facerec_tasks.settings import get_settings


def broadcast_gallery_change() -> None:
    """Tells running workers; those who do not hear it look for themselves within a minute."""
    try:
        check_region(get_settings())
        app.control.broadcast("refresh_gallery")
    except Exception as error:  # noqa: BLE001 - the edit is done, and kombu raises anything here
        click.echo(f"could not tell the workers, they will notice in a minute: {error}", err=True)
