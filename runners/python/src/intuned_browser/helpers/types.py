"""The types of the file helpers, under the import path that older projects use."""

from intuned_browser.attachment import Attachment, AttachmentType, SignedUrlAttachment, UploadedFile
from intuned_browser.downloads import Trigger
from intuned_browser.s3_settings import S3Configs
from intuned_browser.uploads import FileType

__all__ = [
    "Attachment",
    "AttachmentType",
    "FileType",
    "S3Configs",
    "SignedUrlAttachment",
    "Trigger",
    "UploadedFile",
]
