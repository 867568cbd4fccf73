"""The platform's own file store: the worker takes a file out of the runner's private folder and answers with a url.

Only inside a run. If the process dies in the call, the worker still removes the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


async def store_file(path: Path, file_name: str, content_type: str | None) -> str:
    """The url that reads the stored file. A plain Exception outside a run on the platform."""
    platform = _platform()
    params: dict[str, Any] = {"path": str(path), "fileName": file_name}
    if content_type:
        params["contentType"] = content_type
    answer = await platform.calls.ask("file.store", params)
    return str(answer["readUrl"])


def _platform() -> Any:
    try:
        from keywright_runner.scope import IntunedContext

        platform = IntunedContext.current().platform
    except (ImportError, LookupError):
        platform = None
    if platform is None:
        raise Exception(
            "no place to upload to: there is no workspace and project outside a run; "
            "set AWS_BUCKET and AWS_REGION, or give configs, to upload to an S3 bucket"
        )
    return platform
