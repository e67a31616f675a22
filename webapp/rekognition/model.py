"""Rekognition's own description of its operations, as botocore carries it: checks what comes in."""

import base64
import binascii
import re
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape

from webapp.rekognition.errors import RekognitionError, invalid


@cache
def operation(name: str) -> OperationModel:
    """Raises :class:`RekognitionError` for an operation there is not."""
    model = botocore.session.get_session().get_service_model("rekognition")
    if name not in model.operation_names:
        raise RekognitionError("UnknownOperationException", f"no operation {name[:100]!r}")
    return model.operation_model(name)


def parameters(name: str, given: Any) -> dict[str, Any]:
    """The parameters of an operation, checked against its model; blobs are decoded.

    Members the model does not know are dropped. Raises :class:`RekognitionError`.
    """
    shape = operation(name).input_shape
    if shape is None:
        return {}
    checked: dict[str, Any] = _checked(shape, given, "request")
    return checked


def _checked(shape: Shape, value: Any, where: str) -> Any:
    check = _CHECKS.get(shape.type_name)
    if check is None:
        raise invalid(f"{where}: {shape.type_name} is not taken here")
    return check(shape, value, where)


def _structure(shape: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{where} is no structure")
    missing = [name for name in shape.required_members if value.get(name) is None]
    if missing:
        raise invalid(f"{where}: {', '.join(missing)} is missing")
    return {
        name: _checked(member, value[name], f"{where}.{name}")
        for name, member in shape.members.items()
        if value.get(name) is not None
    }


def _list(shape: Any, value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(f"{where} is no list")
    _check_size(shape, len(value), where)
    return [_checked(shape.member, one, f"{where}[{n}]") for n, one in enumerate(value)]


def _map(shape: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{where} is no map")
    _check_size(shape, len(value), where)
    return {str(name): _checked(shape.value, one, where) for name, one in value.items()}


def _string(shape: Any, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"{where} is no string")
    _check_size(shape, len(value), where)
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        raise invalid(f"{where} does not satisfy the pattern {pattern}")
    if shape.enum and value not in shape.enum:
        raise invalid(f"{where} is none of {', '.join(shape.enum)}")
    return value


def _number(shape: Any, value: Any, where: str) -> float:
    whole = shape.type_name in ("integer", "long")
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise invalid(f"{where} is no number")
    if not abs(value) < 1 << 53:  # not so of NaN
        raise invalid(f"{where} is out of range")
    _check_size(shape, value, where)
    return value


def _blob(shape: Any, value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise invalid(f"{where} is no base64")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"{where} is no base64") from error
    if len(data) > shape.metadata.get("max", len(data)):
        raise RekognitionError("ImageTooLargeException", f"{where} has more than 5 MB")
    _check_size(shape, len(data), where)
    return data


def _check_size(shape: Shape, size: float, where: str) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        raise invalid(f"{where} is below its minimum, {least}")
    if most is not None and size > most:
        raise invalid(f"{where} is above its maximum, {most}")


_CHECKS = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
    "blob": _blob,
}
