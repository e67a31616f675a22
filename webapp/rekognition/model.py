"""Validates requests by the service model of Rekognition in botocore."""

import base64
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal

import botocore.session
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from webapp.rekognition.errors import RekognitionError, invalid

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_MOST = 1 << 53
"""Of a number without a bound of its own."""


def parameters(operation: str, given: Any) -> dict[str, Any]:
    """The parameters of an operation, checked against its model; blobs are decoded.

    Members the model does not know are dropped. Raises :class:`RekognitionError`.
    """
    try:
        return _input_of(operation).model_validate(given).model_dump(exclude_none=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "request"
        if fault["type"] == "bytes_too_long":
            raise RekognitionError(
                "ImageTooLargeException", f"{where} has more than 5 MB"
            ) from error
        raise invalid(f"{where}: {fault['msg']}") from error


@cache
def _input_of(operation: str) -> type[BaseModel]:
    service = botocore.session.get_session().get_service_model("rekognition")
    return _structure(service.operation_model(operation).input_shape)


def _structure(shape: Any) -> type[BaseModel]:
    members: dict[str, Any] = {
        name: (_type(member), ...)
        if name in shape.required_members
        else (_type(member) | None, None)
        for name, member in shape.members.items()
    }
    return create_model(shape.name, __config__=_STRICT, **members)


def _type(shape: Any) -> Any:
    """A type of pydantic's with the bounds, the pattern and the values of a shape."""
    made = _TYPES[shape.type_name](shape)
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if made in (int, float):
        return Annotated[made, Field(ge=least, le=_MOST if most is None else most)]
    bounded: Any = Annotated[made, Field(min_length=least, max_length=most)]
    return Annotated[bounded, BeforeValidator(_decoded)] if made is bytes else bounded


def _string(shape: Any) -> Any:
    if shape.enum:
        return Literal[tuple(shape.enum)]
    pattern = shape.metadata.get("pattern")
    return Annotated[str, Field(pattern=f"^(?:{pattern})$" if pattern else None)]


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("not base64")
    return base64.b64decode(value, validate=True)


_TYPES: dict[str, Callable[[Any], Any]] = {
    "structure": _structure,
    "list": lambda shape: list[_type(shape.member)],  # type: ignore[misc]
    "map": lambda shape: dict[str, _type(shape.value)],  # type: ignore[misc]
    "string": _string,
    "integer": lambda _: int,
    "float": lambda _: float,
    "blob": lambda _: bytes,
}
