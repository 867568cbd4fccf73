"""The two requests made to S3: put a file, and the url that reads one.

A put is one request without a retry; if the process dies in it, S3 keeps nothing. Errors carry S3's status and the
beginning of its answer, never a credential.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from .sigv4 import Credentials, encoded, presign, sign_headers

# S3's own limit for one put.
MAX_PUT_BYTES = 5 * 1024**3
TIMEOUT_SECONDS = 60
MAX_ANSWER_BYTES = 2000
CHUNK_BYTES = 1024 * 1024


def object_url(*, bucket: str, region: str, endpoint: str | None, key: str) -> str:
    """Where an object is: in the bucket's own host at AWS, below the bucket's path at an endpoint of one's own."""
    path = encoded(key, safe="/")
    if endpoint:
        base = endpoint if "://" in endpoint else f"https://{endpoint}"
        return f"{base.rstrip('/')}/{encoded(bucket)}/{path}"
    # The certificate of the buckets' hosts covers one label only.
    if "." in bucket:
        return f"https://s3.{region}.amazonaws.com/{encoded(bucket)}/{path}"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{path}"


def signed_read_url(
    *, bucket: str, region: str, endpoint: str | None, key: str, credentials: Credentials, expires_seconds: int
) -> str:
    """A presigned GET."""
    url = object_url(bucket=bucket, region=region, endpoint=endpoint, key=key)
    return presign("GET", url, region, credentials, datetime.now(timezone.utc), expires_seconds)


def put_file(*, url: str, region: str, credentials: Credentials, path: Path, content_type: str | None) -> None:
    """Upload a file. Blocking. A plain Exception for every answer but 200, OSError when there is no answer."""
    size = os.stat(path).st_size
    if size > MAX_PUT_BYTES:
        raise ValueError(f"the file has {size} bytes; S3 takes at most {MAX_PUT_BYTES} in one upload")
    headers = {"content-type": content_type} if content_type else {}
    signed = sign_headers("PUT", url, headers, _sha256(path), region, credentials, datetime.now(timezone.utc))
    signed["content-length"] = str(size)
    at = urlsplit(url)
    connection = _connection(at.scheme, at.netloc)
    try:
        with open(path, "rb") as body:
            connection.request("PUT", at.path, body=body, headers=signed)
            answer = connection.getresponse()
            text = answer.read(MAX_ANSWER_BYTES).decode(errors="replace")
    finally:
        connection.close()
    if answer.status != 200:
        raise Exception(f"S3 refused the upload with status {answer.status}: {text}")


def _connection(scheme: str, netloc: str) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(netloc, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    return http.client.HTTPConnection(netloc, timeout=TIMEOUT_SECONDS)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as body:
        while chunk := body.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
