"""Where uploads go: S3Configs given by the project, completed field by field from the environment.

Secrets are held in memory only and are never part of an error or a log line.
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ValidationError

from .sigv4 import Credentials

# field -> environment variables, in the order in which they are asked
ENVIRONMENT = {
    "bucket_name": ("AWS_BUCKET", "INTUNED_S3_BUCKET"),
    "region": ("AWS_REGION", "INTUNED_S3_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL", "INTUNED_S3_ENDPOINT_URL"),
    "access_key": ("AWS_ACCESS_KEY_ID", "INTUNED_S3_ACCESS_KEY_ID"),
    "secret_key": ("AWS_SECRET_ACCESS_KEY", "INTUNED_S3_SECRET_ACCESS_KEY"),
}


class S3Configs(BaseModel):
    """A bucket and the key to it. What is empty is taken from the environment."""

    bucket_name: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    endpoint: str | None = None

    def credentials(self) -> Credentials:
        """The key pair; a plain Exception when a half of it is missing.

        Only arguments and environment are asked: no profile files, no metadata service of a cloud.
        """
        if not self.access_key or not self.secret_key:
            remedy = "give access_key and secret_key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise Exception(f"no S3 credentials: {remedy}")
        # A session token belongs to the environment's key only.
        is_from_environment = self.access_key == os.environ.get("AWS_ACCESS_KEY_ID")
        token = os.environ.get("AWS_SESSION_TOKEN") if is_from_environment else None
        return Credentials(self.access_key, self.secret_key, token or None)


def settings_from_environment(configs: Any = None) -> S3Configs:
    """The given settings (S3Configs, dict or None) completed from the environment.

    ValueError for a dict that does not fit, TypeError for anything else.
    """
    if isinstance(configs, dict):
        try:
            configs = S3Configs.model_validate(configs)
        except ValidationError as error:
            # Without the values: one of them may be the secret.
            fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
            raise ValueError(f"configs does not fit S3Configs; look at: {fields}") from None
    elif configs is not None and not isinstance(configs, S3Configs):
        raise TypeError(f"configs must be S3Configs or a dict, not {type(configs).__name__}")
    values = {
        field: (getattr(configs, field) if configs is not None else None)
        or next((value for name in names if (value := os.environ.get(name))), None)
        for field, names in ENVIRONMENT.items()
    }
    return S3Configs(**values)
