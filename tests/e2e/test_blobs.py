"""Blobs: the same in a folder and in a bucket, sealed in both, and what is said while the bucket is away."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from harness.bucket import Bucket
from harness.server import MAX_WAIT_SECONDS, Server
from test_serve import serve

CODE = """export default async function says(params: { what: string }) {
  console.log(`this was said: ${params.what}`);
  return params.what.length;
}
"""
WHAT = "canary-in-a-log-4711"


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    yield bucket
    bucket.stop()


def archive(name: str) -> bytes:
    """A project with one API, as an upload."""
    files = {"Intuned.json": json.dumps({"projectName": name}), "package.json": "{}", "api/says.ts": CODE}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue())


def upload(server: Server, name: str) -> httpx.Response:
    return server.http.put(f"/projects/{name}/deployments", content=archive(name), headers={"content-type": "application/gzip"},
                           timeout=150)


def deployed(server: Server, name: str) -> None:
    response = upload(server, name)
    assert response.status_code == 201, response.text
    path = f"/projects/{name}/deployments/{response.json()['id']}"
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while (deployment := server.http.get(path).json())["status"] == "building":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert deployment["status"] == "ready", deployment


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_what_is_stored_comes_back_from_either_place_and_lies_there_sealed(tmp_path: Path, bucket: Bucket, place: str) -> None:
    folder = tmp_path / "elsewhere"
    options = ["--blobs", str(folder)] if place == "folder" else bucket.options("a/b")
    server = Server(tmp_path / "data", *options, env=bucket.environment)
    deployed(server, "talks")
    run = server.start_run("talks", "says", parameters={"what": WHAT})
    assert server.run_result("talks", run)["result"] == len(WHAT)
    assert any(WHAT in line["message"] for line in server.log("talks", run, 1))
    assert not (tmp_path / "data/blobs").exists(), "blobs are elsewhere"

    if place == "folder":
        stored = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    else:
        stored = {key: bucket.content(key) for key in bucket.keys()}
        assert all(key.startswith("a/b/") for key in stored), stored.keys()
        stored = {key.removeprefix("a/b/"): content for key, content in stored.items()}
    assert {key.partition("/")[0] for key in stored} == {server.workspace_id}, "nothing is left of a check"
    kinds = {key.split("/")[1] for key in stored}
    assert kinds == {"deployments", "attempts"}
    assert not any(WHAT.encode() in content or content.startswith(b"\x1f\x8b") for content in stored.values())
    assert server.stop() == 0
    assert "test-secret-0815" not in server.log_path.read_text()

    server.start(env=bucket.environment)
    assert any(WHAT in line["message"] for line in server.log("talks", run, 1))
    assert server.stop() == 0


def test_while_the_bucket_is_away_uploads_are_refused_for_now_and_runs_go_on(tmp_path: Path, bucket: Bucket) -> None:
    server = Server(tmp_path / "data", *bucket.options("p"), env=bucket.environment)
    deployed(server, "talks")
    bucket.stop()
    refused = upload(server, "later")
    assert (refused.status_code, refused.json()["code"], refused.json()["retirable"]) == (503, "service-unavailable", True)
    assert int(refused.headers["retry-after"]) >= 1
    assert server.http.get("/projects/later/deployments").status_code == 404, "nothing was accepted"
    # A log that cannot be stored is lost; the result is not.
    assert server.run("talks", "says", parameters={"what": "x"})["status"] == "completed"
    bucket.start()
    deployed(server, "later")
    assert server.stop() == 0


def test_a_bucket_that_is_not_there_is_told_at_start(tmp_path: Path, bucket: Bucket) -> None:
    options = ["--blobs", "s3://no-such-bucket/p", "--s3-endpoint", bucket.endpoint]
    refused = serve(tmp_path / "data", "--listen", "127.0.0.1:0", *options, **bucket.environment)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the S3 bucket no-such-bucket cannot be used" in refused.stderr
    assert "test-secret-0815" not in refused.stderr
