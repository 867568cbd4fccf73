"""The old name of `intuned_runtime`: the same objects, and a line in the log that says so."""

import logging

from intuned_runtime import (
    AttributeValue,
    attempt_store,
    delete_attribute,
    extend_payload,
    extend_timeout,
    get_auth_session_parameters,
    persistent_store,
    send_message_to_agent,
    set_attribute,
)

logging.getLogger(__name__).warning("runtime_helpers is deprecated: import from intuned_runtime")

__all__ = [
    "AttributeValue",
    "attempt_store",
    "delete_attribute",
    "extend_payload",
    "extend_timeout",
    "get_auth_session_parameters",
    "persistent_store",
    "send_message_to_agent",
    "set_attribute",
]
