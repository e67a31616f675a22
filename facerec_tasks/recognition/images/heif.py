"""HEIC and HEIF, the format of iPhones, by libheif (``pillow-heif``).

The package is optional: the Lambda functions, which read JPEG only, do without.
"""

import functools
import importlib.util


@functools.cache
def is_available() -> bool:
    """Whether HEIF can be read here; registers the format with Pillow on the first call."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener(
        thumbnails=False,
        depth_images=False,
        aux_images=False,
        decode_threads=1,  # the machine's processors are the other workers'
    )
    return True
