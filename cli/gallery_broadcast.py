"""The word to running workers that the gallery has changed."""

import click

from facerec_tasks.app import app


def broadcast_gallery_change() -> None:
    """Tells running workers; those who do not hear it look for themselves within a minute."""
    try:
        app.control.broadcast("refresh_gallery")
    except Exception as error:  # noqa: BLE001 - the edit is done, and kombu raises anything here
        click.echo(f"could not tell the workers, they will notice in a minute: {error}", err=True)
