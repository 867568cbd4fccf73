"""upload_file_to_s3 and save_file_to_s3: put a download or bytes into S3, or into the platform's own file store.

With a bucket and a region (by argument or environment) files go to S3, otherwise to the platform. A copy lies in a
temporary folder while it is uploaded and is removed in every case; if the process dies, with the runner's folder.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Union
from uuid import uuid4

from playwright.async_api import Download, Page

from .attachment import Attachment, SignedUrlAttachment
from .downloads import Trigger, download_file
from .mode import is_authoring
from .platform_files import store_file
from .s3 import object_url, put_file
from .s3_settings import S3Configs, settings_from_environment

FileType = Union[Download, bytes]

AUTHORING_BUCKET = "testing_bucket"
AUTHORING_REGION = "testing_region"


async def upload_file_to_s3(
    file: FileType,
    *,
    configs: S3Configs | dict[str, Any] | None = None,
    file_name_override: str | None = None,
    content_type: str | None = None,
) -> Attachment:
    """Store a Playwright download or bytes. Anything else raises ValueError.

    The name is `file_name_override`, else the download's own, else a random one.
    """
    if not isinstance(file, (Download, bytes)):
        raise ValueError(f"only a Playwright Download or bytes can be uploaded, not {type(file).__name__}")
    suggested = file.suggested_filename if isinstance(file, Download) else None
    if is_authoring():
        return _authoring_attachment(suggested)
    settings = settings_from_environment(configs)
    name = file_name_override or suggested or str(uuid4())
    # In a run the platform takes files from below the runner's folder only.
    with tempfile.TemporaryDirectory(prefix="upload-", dir=os.environ.get("KEYWRIGHT_SLOT_DIR") or None) as folder:
        path = Path(folder, "file")
        if settings.region and settings.bucket_name:
            return await _to_s3(file, path, settings, name, suggested or "", content_type)
        await _write(file, path)
        url = await store_file(path, name, content_type)
        return SignedUrlAttachment(file_name=name, key=name, suggested_file_name=suggested or name, signed_url=url)


async def save_file_to_s3(
    page: Page,
    trigger: Trigger,
    *,
    timeout_s: float = 5,
    configs: S3Configs | dict[str, Any] | None = None,
    file_name_override: str | None = None,
    content_type: str | None = None,
) -> Attachment:
    """Download (see download_file), ask for the run's full time again, upload. Outside a run: LookupError."""
    download = await download_file(page, trigger, timeout_s=timeout_s)
    if not is_authoring():
        # A sibling of this package, but not a part of it: without it there is no deadline to extend.
        try:
            from intuned_runtime import extend_timeout
        except ImportError:
            pass
        else:
            extend_timeout()
    return await upload_file_to_s3(
        download, configs=configs, file_name_override=file_name_override, content_type=content_type
    )


async def _to_s3(
    file: FileType, path: Path, settings: S3Configs, name: str, suggested: str, content_type: str | None
) -> Attachment:
    assert settings.bucket_name and settings.region
    key = f"{uuid4()}/{clean_name(name)}"
    place = {"bucket": settings.bucket_name, "region": settings.region, "endpoint": settings.endpoint}
    try:
        credentials = settings.credentials()
        await _write(file, path)
        url = object_url(**place, key=key)
        await asyncio.to_thread(
            put_file, url=url, region=settings.region, credentials=credentials, path=path, content_type=content_type
        )
    finally:
        if isinstance(file, Download):
            await file.delete()
    return Attachment(file_name=key, key=key, suggested_file_name=suggested, **place)


async def _write(file: FileType, path: Path) -> None:
    if isinstance(file, Download):
        await file.save_as(path)
    else:
        await asyncio.to_thread(path.write_bytes, file)


def clean_name(name: str) -> str:
    """The name with one underscore for each run of characters that object keys should not have."""
    return re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9.\-_/]", "_", name))


def _authoring_attachment(suggested: str | None) -> Attachment:
    if suggested is None:
        file_name = key = suggested = str(uuid4())
    else:
        file_name, key = f"{uuid4()}/{suggested}", f"{uuid4()}/{suggested}"
    return Attachment(
        file_name=file_name,
        key=key,
        suggested_file_name=suggested,
        bucket=AUTHORING_BUCKET,
        region=AUTHORING_REGION,
    )
