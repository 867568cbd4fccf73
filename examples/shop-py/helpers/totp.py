"""The six digits an authenticator app would show for a secret, RFC 6238."""

import base64
import hashlib
import hmac
import struct
import time


def totp(secret: str, now: float | None = None) -> str:
    key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    counter = struct.pack(">Q", int((time.time() if now is None else now) // 30))
    digest = hmac.new(key, counter, hashlib.sha1).digest()
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 15)
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06d}"
