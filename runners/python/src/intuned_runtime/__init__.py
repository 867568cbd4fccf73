"""What a project imports to talk to its run. Served by the runner under the name projects already use.

Functions that touch the run raise LookupError outside one; `with IntunedContext():` makes one for tests.
"""

from keywright_runner.attributes import AttributeValue
from keywright_runner.failure import NonRetryableError, RunError
from keywright_runner.scope import IntunedContext, IntunedRunContext

from .agent import send_message_to_agent
from .deferral import EnsureBrowserFunction, deferred_browser
from .extension import Payload, extend_payload, extend_timeout
from .gateway import get_ai_gateway_config
from .run import delete_attribute, get_auth_session_parameters, run_info, set_attribute
from .stores import attempt_store, persistent_store

__all__ = [
    "AttributeValue",
    "EnsureBrowserFunction",
    "IntunedContext",
    "IntunedRunContext",
    "NonRetryableError",
    "Payload",
    "RunError",
    "attempt_store",
    "deferred_browser",
    "delete_attribute",
    "extend_payload",
    "extend_timeout",
    "get_ai_gateway_config",
    "get_auth_session_parameters",
    "persistent_store",
    "run_info",
    "send_message_to_agent",
    "set_attribute",
]
