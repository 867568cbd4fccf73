"""An S3 bucket of the tests' own, served by moto in this very process on one port of the loopback.

It can be stopped and started again with everything in it. It believes every key, so what it refuses is only what is not
there.
"""

from __future__ import annotations

import itertools
import re

import httpx
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"
_numbers = itertools.count(1)


class Bucket:
    """A running bucket with a name of its own, because all of this process share one memory."""

    def __init__(self) -> None:
        self.name = f"blobs-of-tests-{next(_numbers)}"
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, self._port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{self._port}"
        made = httpx.put(f"{self.endpoint}/{self.name}", content=(
            "<CreateBucketConfiguration xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
            f"<LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"))
        assert made.status_code == 200, made.text

    @property
    def environment(self) -> dict[str, str]:
        """Who a server is to this bucket."""
        return {"AWS_ACCESS_KEY_ID": "test-id", "AWS_SECRET_ACCESS_KEY": "test-secret-0815", "AWS_REGION": REGION}

    def options(self, prefix: str) -> list[str]:
        """What a server is told."""
        return ["--blobs", f"s3://{self.name}/{prefix}", "--s3-endpoint", self.endpoint]

    def keys(self) -> list[str]:
        """The names of everything in it."""
        listed = httpx.get(f"{self.endpoint}/{self.name}", params={"list-type": "2"})
        assert listed.status_code == 200, listed.text
        return re.findall("<Key>(.*?)</Key>", listed.text)

    def content(self, key: str) -> bytes:
        return httpx.get(f"{self.endpoint}/{self.name}/{key}").content

    def stop(self) -> None:
        """Nobody listens any more. What is in it stays."""
        self._server.stop()

    def start(self) -> None:
        """Serves again, on the same port."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
