"""Rekognition's exceptions, and the mapping of our errors to them."""

import json
from dataclasses import dataclass

from webapp.http.errors import Problem

CONTENT_TYPE = "application/x-amz-json-1.1"


@dataclass(eq=False)  # not frozen: Python sets the traceback of what is raised
class RekognitionError(Exception):
    """An answer that is an error, by the name Rekognition's clients know."""

    code: str
    message: str

    def body(self) -> bytes:
        """As it travels."""
        return json.dumps({"__type": self.code, "Message": self.message}).encode()

    @property
    def status(self) -> int:
        """5xx and throttling make the SDKs try again."""
        return 500 if self.code == "InternalServerError" else 400


def invalid(message: str) -> RekognitionError:
    """A parameter that cannot be."""
    return RekognitionError("InvalidParameterException", message)


def of_problem(problem: Problem) -> RekognitionError:
    """What the clients are told of a problem."""
    code = _CODES.get(problem.code)
    if code is None:
        code = "InternalServerError" if problem.status >= 500 else "InvalidParameterException"
    return RekognitionError(code, _MESSAGES.get(problem.code, problem.detail))


_CODES = {
    "no-such-collection": "ResourceNotFoundException",
    "collection-exists": "ResourceAlreadyExistsException",
    "photo-gone": "InvalidS3ObjectException",
    "too-large": "ImageTooLargeException",
    "too-many-pixels": "ImageTooLargeException",
    "not-a-picture": "InvalidImageFormatException",
    "unsupported-format": "InvalidImageFormatException",
    "broken-picture": "InvalidImageFormatException",
    "rate-limited": "ThrottlingException",
    "overloaded": "ThrottlingException",
    "stopping": "ThrottlingException",
    "key-missing": "MissingAuthenticationTokenException",
    "key-unknown": "UnrecognizedClientException",
    "scope-missing": "AccessDeniedException",
    "bad-signature": "InvalidSignatureException",
    "not-this-collection": "AccessDeniedException",
    "cross-site": "AccessDeniedException",
}
_MESSAGES = {
    "key-missing": "Missing Authentication Token",
    "key-unknown": "The security token included in the request is invalid.",
    "photo-gone": "Unable to get object metadata from S3. Check object key, region and/or access "
    "permissions.",
}
