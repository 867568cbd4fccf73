"""Attachment: a stored file, as results carry it.

Fields that are None are left out of every dump, also of models an attachment is nested in. Only the reference is here;
the bytes are in the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel, model_serializer

from .mode import AUTHORING_URL, is_authoring
from .s3 import signed_read_url
from .s3_settings import settings_from_environment

DEFAULT_URL_SECONDS = 432_000


class AttachmentType(str, Enum):
    """What kind of file it is; there is one kind."""

    DOCUMENT = "document"


class Attachment(BaseModel):
    """A file in an S3 bucket."""

    file_name: str
    key: str
    suggested_file_name: str
    file_type: AttachmentType = AttachmentType.DOCUMENT
    bucket: str | None = None
    region: str | None = None
    endpoint: str | None = None

    @model_serializer(mode="plain")
    def _without_none(self) -> dict[str, Any]:
        # By the object's own class, so that a field declared as Attachment keeps what a subclass adds.
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Attachment:
        """From a plain record; keys it does not know are ignored."""
        return cls.model_validate(data)

    def to_dict(self) -> dict[str, Any]:
        """A plain record without the fields that are None."""
        return self.model_dump(mode="json")

    def __json__(self) -> dict[str, Any]:
        return self.to_dict()

    async def get_signed_url(self, expiration: int = DEFAULT_URL_SECONDS) -> str:
        """A url that reads the file without a key for `expiration` seconds.

        Signed with the credentials and region of the environment. ValueError without a bucket or region.
        """
        if is_authoring():
            return AUTHORING_URL
        if not self.bucket or not self.region:
            raise ValueError("get_signed_url needs the attachment's bucket and region")
        settings = settings_from_environment()
        return signed_read_url(
            bucket=self.bucket,
            region=settings.region or self.region,
            endpoint=self.endpoint,
            key=self.file_name,
            credentials=settings.credentials(),
            expires_seconds=expiration,
        )

    def get_s3_key(self) -> str:
        """The file's url at S3, not percent-encoded. ValueError for files that are not in S3 itself."""
        if self.endpoint:
            raise ValueError("get_s3_key is not available with an endpoint of one's own")
        if not self.bucket or not self.region:
            raise ValueError("get_s3_key needs the attachment's bucket and region")
        return f"https://{self.bucket}.s3.{self.region}.amazonaws.com/{self.file_name}"


class SignedUrlAttachment(Attachment):
    """A file in the platform's own store, with a url that reads it."""

    signed_url: str

    async def get_signed_url(self, expiration: int = DEFAULT_URL_SECONDS) -> str:
        """The url given when the file was stored; its life does not depend on `expiration`."""
        del expiration
        return AUTHORING_URL if is_authoring() else self.signed_url

    def get_s3_key(self) -> str:
        """Always ValueError: the file is not in S3."""
        raise ValueError("get_s3_key is not available for files in the platform's own store")


@dataclass
class UploadedFile:
    """The plain record of older projects; nothing returns it any more."""

    file_name: str
    bucket: str
    region: str
    endpoint: str | None
    suggested_file_name: str
