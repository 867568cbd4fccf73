"""`intuned_runtime` and `runtime_helpers` as modules: outside a run, in a test's own context, and their limits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime, timezone

import intuned_runtime as runtime
import pytest
from intuned_runtime import captcha
from playwright.async_api import async_playwright
from worker import BROWSER, SOURCE


@pytest.mark.parametrize(
    "call",
    [
        lambda: runtime.IntunedContext.current(),
        lambda: runtime.run_info(),
        lambda: runtime.attempt_store.get("a"),
        lambda: runtime.attempt_store.set("a", 1),
        lambda: runtime.extend_payload({"api": "a", "parameters": {}}),
        lambda: runtime.extend_timeout(),
        lambda: runtime.set_attribute("a", 1),
        lambda: asyncio.run(runtime.persistent_store.get("a")),
        lambda: asyncio.run(runtime.get_auth_session_parameters()),
    ],
)
def test_outside_a_run_it_is_a_lookup_error(call):
    with pytest.raises(LookupError):
        call()


def test_a_context_of_ones_own_holds_what_is_stored():
    with runtime.IntunedContext() as context:
        runtime.attempt_store.set("a", None)
        runtime.extend_payload({"api": "x", "parameters": {}}, {"api": "y", "parameters": {}})
        assert runtime.attempt_store.get("a", 1) is None and runtime.attempt_store.get("b", 1) == 1
        assert [payload["api"] for payload in context.extended_payloads] == ["x", "y"]
        with pytest.raises(RuntimeError):
            context.__enter__()
    with pytest.raises(RuntimeError):
        context.__exit__()


@pytest.mark.parametrize("key", ["", "a:b", "#", 5])
async def test_a_bad_key_is_found_before_the_missing_run(key):
    with pytest.raises(ValueError, match="key of persistent_store"):
        await runtime.persistent_store.get(key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("1a", 1), ("a" * 65, 1), ("a-b", 1), ("a", "x" * 256), ("a", float("nan")), ("a", datetime(2026, 1, 1)),
        ("a", ["x"] * 21), ("a", [1]), ("a", ("x",)), ("a", None), ("a", {}),
    ],
)
def test_an_attribute_beyond_the_limits_changes_nothing(key, value):
    with runtime.IntunedContext() as context:
        runtime.set_attribute("kept", True)
        with pytest.raises(ValueError):
            runtime.set_attribute(key, value)
        assert context.attributes.to_dict() == {"kept": True}


def test_attributes_at_the_limits_are_taken():
    with runtime.IntunedContext() as context:
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
        for key, value in {"a" * 64: "x" * 255, "b": ["y" * 255] * 20, "c": moment}.items():
            runtime.set_attribute(key, value)
        assert context.attributes.to_dict()["c"] == "2026-01-02T03:04:05+00:00"
        for number in range(61):
            runtime.set_attribute(f"n{number}", number)
        with pytest.raises(ValueError, match="64"):
            runtime.set_attribute("one_more", 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dedup_key": "a b"}, {"dedup_key": ""}, {"message": ""}, {"message": "x" * 10_001},
        {"additional_context": {"x": "y" * 9000}}, {"additional_context": {"x": object()}},
        {"agent_session_options": {"model": "other"}}, {"agent_session_options": {"agent_config": {"merge": 1}}},
    ],
)
def test_a_message_to_the_agent_is_checked(wrong):
    with pytest.raises(ValueError):
        runtime.send_message_to_agent(**{"dedup_key": "k", "message": "m", **wrong})


def test_a_message_to_the_agent_never_raises_outside_a_run_and_is_kept_in_one():
    runtime.send_message_to_agent(dedup_key="k", message="m")
    with runtime.IntunedContext() as context:
        runtime.send_message_to_agent(dedup_key="k", message="m", agent_session_options={"agentConfig": {"merge": True}})
        assert context.messages_for_agent == [
            {"dedupKey": "k", "message": "m", "agentSessionOptions": {"agentConfig": {"merge": True}}}
        ]


def test_the_gateway_comes_from_the_environment_or_is_refused(monkeypatch):
    with pytest.raises(Exception, match="FUNCTIONS_DOMAIN"):
        runtime.get_ai_gateway_config()
    monkeypatch.setenv("FUNCTIONS_DOMAIN", "https://x.example/")
    monkeypatch.setenv("INTUNED_WORKSPACE_ID", "w")
    monkeypatch.setenv("INTUNED_PROJECT_ID", "p")
    with pytest.raises(LookupError):
        runtime.get_ai_gateway_config()
    with runtime.IntunedContext():
        assert runtime.get_ai_gateway_config() == ("https://x.example/api/w/functions/p/intuned-ai-gateway", "")


def test_a_run_error_can_forbid_another_attempt():
    from keywright_runner.failure import of_user

    assert of_user(runtime.RunError("x"), None)["retryable"] is True
    assert of_user(runtime.RunError("x", retryable=False), None)["retryable"] is False


async def test_every_form_of_the_captcha_wait_runs_its_function_and_returns():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=BROWSER["executablePath"], chromium_sandbox=BROWSER["sandbox"]
        )
        page = await browser.new_page()

        async def answer():
            return 42

        @captcha.wait_for_captcha_solve
        async def bare(page):
            return 1

        @captcha.wait_for_captcha_solve(settle_period=0, wait_for_network_settled=False)
        async def with_options(*, page):
            return 2

        assert await captcha.wait_for_captcha_solve(page, settle_period=0) is None
        assert await captcha.wait_for_captcha_solve(page=page, timeout_s=1, settle_period=0) is None
        assert await captcha.wait_for_captcha_solve(page=page, func=answer, settle_period=0) == 42
        assert await with_options(page=page) == 2
        assert bare.__name__ == "bare"
        for wrong in (lambda: captcha.wait_for_captcha_solve(5), lambda: captcha.wait_for_captcha_solve(func=answer)):
            with pytest.raises(ValueError):
                wrong()
        await captcha.on_captcha_event(page, "solved", print)
        await captcha.pause_captcha_solver(page.context)
        await browser.close()


def test_the_old_name_gives_the_same_objects_and_says_that_it_is_old():
    script = (
        "import intuned_runtime, runtime_helpers as old\n"
        "assert all(getattr(old, name) is getattr(intuned_runtime, name) for name in old.__all__)\n"
        "assert not hasattr(old, 'run_info')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True)
    assert ended.returncode == 0 and "deprecated" in ended.stderr
