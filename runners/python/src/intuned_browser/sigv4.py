"""AWS Signature Version 4, as far as one PUT and one presigned GET need it.

Pure: time and payload hash are arguments. A few dozen lines of our own, because the smallest maintained client
brings a hundred times as much for the two requests that are made here.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True)
class Credentials:
    """A key pair, with a session token when it is a temporary one."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def sign_headers(
    method: str, url: str, headers: dict[str, str], payload_sha256: str, region: str, credentials: Credentials, now: datetime
) -> dict[str, str]:
    """The headers to send: those given, and those that make the request valid."""
    at = urlsplit(url)
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed |= {"host": at.netloc, "x-amz-content-sha256": payload_sha256, "x-amz-date": _stamp(now)}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    signature = _signature(method, at.path, at.query, signed, payload_sha256, region, credentials, now)
    credential = f"{credentials.access_key}/{_scope(region, now)}"
    return {**signed, "authorization": f"{ALGORITHM} Credential={credential},SignedHeaders={names},Signature={signature}"}


def presign(method: str, url: str, region: str, credentials: Credentials, now: datetime, expires_seconds: int) -> str:
    """The url with a signature in its query, valid for `expires_seconds` from `now`."""
    at = urlsplit(url)
    parameters = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{_scope(region, now)}",
        "X-Amz-Date": _stamp(now),
        "X-Amz-Expires": str(expires_seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    query = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(parameters.items()))
    signature = _signature(method, at.path, query, {"host": at.netloc}, UNSIGNED_PAYLOAD, region, credentials, now)
    return f"{at.scheme}://{at.netloc}{at.path}?{query}&X-Amz-Signature={signature}"


def encoded(text: str, safe: str = "") -> str:
    """Percent-encoded as the signature wants it: all but letters, digits and `-._~`."""
    return quote(text, safe=safe)


def _signature(
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    payload_sha256: str,
    region: str,
    credentials: Credentials,
    now: datetime,
) -> str:
    lines = [method, path or "/", query]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers)]
    lines += ["", ";".join(sorted(headers)), payload_sha256]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in _scope(region, now).split("/"):
        key = _hmac(key, part)
    return _hmac(key, "\n".join([ALGORITHM, _stamp(now), _scope(region, now), digest])).hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _stamp(now: datetime) -> str:
    return now.strftime("%Y%m%dT%H%M%SZ")


def _scope(region: str, now: datetime) -> str:
    return f"{now.strftime('%Y%m%d')}/{region}/s3/aws4_request"
