"""The helpers that ask a language model. They import, and refuse to work: this version has no AI gateway.

The types are complete, so that a project which mentions them loads, and runs as long as it does not call them.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn, TypedDict, Union

__all__ = [
    "AiUnavailableError",
    "ContentItem",
    "DataExtractionError",
    "ImageBufferContentItem",
    "ImageObject",
    "ImageUrlContentItem",
    "TextContentItem",
    "extract_structured_data",
    "is_page_loaded",
]

ImageType = Literal["png", "jpeg", "gif", "webp"]


class TextContentItem(TypedDict):
    """Text to extract from."""

    type: Literal["text"]
    data: str


class ImageBufferContentItem(TypedDict):
    """An image to extract from, as bytes."""

    type: Literal["image-buffer"]
    image_type: ImageType
    data: bytes


class ImageUrlContentItem(TypedDict):
    """An image to extract from, by address."""

    type: Literal["image-url"]
    image_type: ImageType
    data: str


class ImageObject(TypedDict):
    """An image as bytes."""

    image_type: ImageType
    data: bytes


ContentItem = Union[TextContentItem, ImageBufferContentItem, ImageUrlContentItem]


class DataExtractionError(Exception):
    """An extraction that failed; `error_type` says how."""

    def __init__(self, message: str, error_type: str = "other") -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type


class AiUnavailableError(RuntimeError):
    """A helper that needs a language model was called; this version has no AI gateway."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not available: this version of Keywright has no AI gateway")


async def extract_structured_data(**_options: Any) -> NoReturn:
    """Always raises AiUnavailableError."""
    raise AiUnavailableError("extract_structured_data")


async def is_page_loaded(*_page: Any, **_options: Any) -> NoReturn:
    """Always raises AiUnavailableError."""
    raise AiUnavailableError("is_page_loaded")
