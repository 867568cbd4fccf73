"""Browser helpers for projects: `from intuned_browser import go_to_url`.

Every name is loaded from its own file when it is first used, so that a project pays only for what it imports, and so
that a missing third-party package is reported by the one helper that needs it. Nothing here is kept between calls.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attachment import Attachment, AttachmentType, UploadedFile
    from .clicking import click_until_exhausted
    from .dates import process_date
    from .dom import wait_for_dom_settled
    from .downloads import Trigger, download_file
    from .empties import filter_empty_values
    from .markdown import extract_markdown
    from .navigation import go_to_url
    from .network import wait_for_network_settled
    from .s3_settings import S3Configs
    from .sanitizing import sanitize_html
    from .scrolling import scroll_to_load_content
    from .uploads import FileType, save_file_to_s3, upload_file_to_s3
    from .urls import resolve_url
    from .validation import ValidationError, validate_data_using_schema

_HOMES = {
    "Attachment": "attachment",
    "AttachmentType": "attachment",
    "FileType": "uploads",
    "S3Configs": "s3_settings",
    "Trigger": "downloads",
    "UploadedFile": "attachment",
    "ValidationError": "validation",
    "click_until_exhausted": "clicking",
    "download_file": "downloads",
    "extract_markdown": "markdown",
    "filter_empty_values": "empties",
    "go_to_url": "navigation",
    "process_date": "dates",
    "resolve_url": "urls",
    "sanitize_html": "sanitizing",
    "save_file_to_s3": "uploads",
    "scroll_to_load_content": "scrolling",
    "upload_file_to_s3": "uploads",
    "validate_data_using_schema": "validation",
    "wait_for_dom_settled": "dom",
    "wait_for_network_settled": "network",
}

__all__ = [
    "Attachment",
    "AttachmentType",
    "FileType",
    "S3Configs",
    "Trigger",
    "UploadedFile",
    "ValidationError",
    "click_until_exhausted",
    "download_file",
    "extract_markdown",
    "filter_empty_values",
    "go_to_url",
    "process_date",
    "resolve_url",
    "sanitize_html",
    "save_file_to_s3",
    "scroll_to_load_content",
    "upload_file_to_s3",
    "validate_data_using_schema",
    "wait_for_dom_settled",
    "wait_for_network_settled",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
