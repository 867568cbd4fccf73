"""`send_message_to_agent`: checked as the platform's own is; this platform has no agent, so the message goes to the log.

Refused with ValueError: what is beyond the limits below. After that it never raises.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any, Optional

from keywright_runner.scope import IntunedContext

DEDUP_KEY = re.compile(r"[a-zA-Z0-9._-]{1,128}\Z")
MAX_MESSAGE = 10_000
MAX_CONTEXT_BYTES = 8 * 1024
MODELS = ("sonnet", "opus", "haiku")

_log = logging.getLogger(__name__)


def send_message_to_agent(
    *,
    dedup_key: str,
    message: str,
    additional_context: Optional[dict[str, Any]] = None,
    agent_session_options: Optional[dict[str, Any]] = None,
) -> None:
    """Tell the project's agent something; one message per `dedup_key`."""
    if not isinstance(dedup_key, str) or not DEDUP_KEY.match(dedup_key):
        raise ValueError("dedup_key has 1 to 128 letters, digits, dots, underscores or dashes")
    if not isinstance(message, str) or not 1 <= len(message) <= MAX_MESSAGE:
        raise ValueError(f"message has 1 to {MAX_MESSAGE} characters")
    entry: dict[str, Any] = {"dedupKey": dedup_key, "message": message}
    if additional_context is not None:
        entry["additionalContext"] = _checked_context(additional_context)
    if agent_session_options is not None:
        entry["agentSessionOptions"] = _checked_options(agent_session_options)
    try:
        context = IntunedContext.current()
    except LookupError:
        _log.warning("a message to the agent was dropped: it was sent outside a run")
        return
    context.messages_for_agent.append(entry)
    _log.info("message to the agent (%s): %s", dedup_key, message)


def _checked_context(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("additional_context is a dict")
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"additional_context is not JSON: {error}") from error
    if size > MAX_CONTEXT_BYTES:
        raise ValueError(f"additional_context has {size} bytes, the limit is {MAX_CONTEXT_BYTES}")
    return value


def _checked_options(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("agent_session_options is a dict")
    options: dict[str, Any] = {}
    if value.get("model") is not None:
        if value["model"] not in MODELS:
            raise ValueError(f"agent_session_options: model is one of {', '.join(MODELS)}")
        options["model"] = value["model"]
    config = value.get("agent_config", value.get("agentConfig"))
    if config is not None:
        if not isinstance(config, dict) or not all(isinstance(config.get(name, False), bool) for name in ("merge", "deploy")):
            raise ValueError("agent_session_options: agent_config has the booleans merge and deploy")
        options["agentConfig"] = {name: config[name] for name in ("merge", "deploy") if name in config}
    return options
