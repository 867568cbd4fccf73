"""Authoring mode: `MODE=generate_code` runs a project dry. Nothing is uploaded then, and downloads are cancelled."""

import os

# What a signed url is when nothing was uploaded. The top level domain is reserved and never resolves.
AUTHORING_URL = "https://authoring.invalid/file"


def is_authoring() -> bool:
    """Whether the project is being tried out rather than run."""
    return os.environ.get("MODE") == "generate_code"
