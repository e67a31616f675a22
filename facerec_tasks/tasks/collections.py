"""Tasks about collections: create and delete."""

import contextlib
import time
from dataclasses import replace

from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.storage.collections import Collections, NoSuchCollection
from facerec_tasks.tasks.engine_task import Value, engine_task
from facerec_tasks.tasks.worker_context import engine, state


@engine_task
def create_collection(collection: str) -> Value:
    """Makes a collection of nobody, with the embedder and precision of the default one."""
    model = engine().current().gallery
    empty = Gallery.empty(model.description or model.engine, precision=model.precision)
    made = replace(empty, created_at=time.time())
    Collections(state()).create(collection, made.to_bytes())
    return {"name": collection, "engine": model.engine, "created_at": made.created_at}


@engine_task
def delete_collection(collection: str) -> Value:
    """Erases a collection and everybody in it."""
    Collections(state()).delete(collection)
    with contextlib.suppress(NoSuchCollection):  # finding that out erases this machine's copy
        engine().source_of(collection).refresh()
    return {"name": collection}
