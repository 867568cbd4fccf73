"""Where an AI gateway is, if the operator runs one: read from the environment, nothing is contacted here."""

from __future__ import annotations

import os

from keywright_runner.scope import IntunedContext


def get_ai_gateway_config() -> tuple[str, str]:
    """`(base_url, api_key)` for third-party clients. Raises Exception when no gateway is configured."""
    domain = os.environ.get("FUNCTIONS_DOMAIN", "").rstrip("/")
    workspace = os.environ.get("INTUNED_WORKSPACE_ID")
    project = os.environ.get("INTUNED_INTEGRATION_ID") or os.environ.get("INTUNED_PROJECT_ID")
    named = {"FUNCTIONS_DOMAIN": domain, "INTUNED_WORKSPACE_ID": workspace, "INTUNED_PROJECT_ID": project}
    missing = [name for name, value in named.items() if not value]
    if missing:
        raise Exception(f"no AI gateway is configured: {', '.join(missing)} not set")
    key = (
        IntunedContext.current().functions_token
        or os.environ.get("INTUNED_API_KEY")
        or os.environ.get("INTUNED_AUTH_TOKEN")
        or ""
    )
    return f"{domain}/api/{workspace}/functions/{project}/intuned-ai-gateway", key
