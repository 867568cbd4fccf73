"""Attempts of user code that behaves and misbehaves: outcomes, order, logs, calls, payloads."""

from __future__ import annotations

import zipfile

import pytest


def test_messages_come_in_the_order_of_the_protocol(unruly):
    report = unruly.run("api/prints-kinds")
    kinds = [message["type"] for message in report.messages]
    assert kinds[0] == "running" and kinds[-2:] == ["done", "idle"] and set(kinds[1:-2]) == {"log"}
    assert all(message["attemptId"] == "a1" for message in report.messages)
    assert report.result is None and report.idle["reusable"] is True


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "Zoë 😀", [1, [2]], {"a": {"b": None}}])
def test_a_result_comes_back_as_it_is(unruly, value):
    assert unruly.run("api/echo", {"value": value}).result == value


def test_a_nested_name_with_dashes_is_found(unruly):
    assert unruly.run("api/nested/deep-er/dashed-name", {"value": 7}).result["value"] == 7


def test_without_parameters_the_function_gets_the_page_alone(unruly):
    assert unruly.run("api/echo").result == {}


def test_an_exception_is_the_users_error_with_a_stack_of_the_project_only(unruly):
    error = unruly.run("api/throws", {"message": "wörd"}).error
    assert (error["code"], error["name"], error["message"], error["retryable"]) == ("user-error", "TypeError", "wörd", True)
    assert 'File "api/throws.py"' in error["stack"] and "keywright_runner" not in error["stack"]


def test_a_non_retryable_error_says_so(unruly):
    error = unruly.run("api/non-retryable").error
    assert (error["code"], error["message"], error["retryable"]) == ("user-error", "never again", False)


@pytest.mark.parametrize(
    "name", ["api/absent", "api/../helpers/visit", "api", "helpers/visit", "api/nested", "auth-sessions/check"]
)
def test_what_is_no_function_is_not_found(unruly, name):
    error = unruly.run(name, {}).error
    assert (error["code"], error["retryable"]) == ("not-found", False)


@pytest.mark.parametrize(
    ("kind", "word"),
    [("nan", "nan"), ("infinity", "inf"), ("cycle", "itself"), ("function", "function"), ("surrogate", "surrogate")],
)
def test_a_result_that_is_not_json_is_refused_with_its_place(unruly, kind, word):
    error = unruly.run("api/bad-result", {"kind": kind}).error
    assert (error["code"], error["retryable"]) == ("invalid-output", True)
    assert "value" in error["message"] and word in error["message"]


def test_a_result_may_have_exactly_the_limit(unruly):
    overhead = len('{"text":""}')
    assert len(unruly.run("api/big-result", {"bytes": 1000 - overhead}, maxResultBytes=1000).result["text"]) == 1000 - overhead
    error = unruly.run("api/big-result", {"bytes": 1001 - overhead}, maxResultBytes=1000).error
    assert (error["code"], error["retryable"]) == ("result-too-big", False)


def test_three_mib_are_too_big_by_default(unruly):
    assert unruly.run("api/big-result").error["code"] == "result-too-big"


def test_everything_printed_becomes_a_log_line_with_stream_and_level(unruly):
    report = unruly.run("api/prints-kinds")
    logs = [(log["stream"], log["level"], log["message"]) for log in report.messages if log["type"] == "log"]
    assert ("stdout", "info", "by log {'answer': 42}") in logs
    assert ("stdout", "info", "by stdout") in logs and ("stderr", "error", "by stderr") in logs
    assert ("stderr", "warn", "unruly: by warn") in logs and ("stderr", "error", "unruly: by error") in logs


def test_what_a_page_says_on_its_console_is_in_the_log(scratch):
    source = """
        async def automation(page, params=None):
            await page.evaluate("() => { console.log('one\\\\ntwo'); console.warn('careful'); console.error('bad') }")
    """
    report = scratch.run(source)
    logs = [(log["level"], log["message"]) for log in report.messages if log["type"] == "log" and log["stream"] == "page"]
    assert logs == [("info", "one"), ("info", "two"), ("warn", "careful"), ("error", "bad")]


def test_every_line_of_a_flood_arrives_before_done(unruly):
    assert len(unruly.run("api/prints-much", {"lines": 20000}).lines("stdout")) == 20000


def test_the_log_of_an_attempt_ends_at_ten_mib_with_a_line_that_says_so(unruly):
    lines = unruly.run("api/prints-much", {"lines": 110_000}).lines()
    assert len(lines) == 10 * 1024 * 1024 // 100 + 1
    assert "10 MiB" in lines[-1]


def test_one_line_is_cut_at_64_kib(scratch):
    source = "async def automation(page, params=None):\n    print('ä' * 100000)\n    print('no end', end='')\n"
    report = scratch.run(source)
    long, last = report.lines("stdout")
    assert len(long.encode()) == 64 * 1024 and last == "no end"


def test_the_hook_is_told_what_runs_and_shares_the_attempts_store(unruly):
    result = unruly.run("api/hook-seen", {"x": 1}).result
    assert result["apiName"] == "api/hook-seen" and result["apiParameters"] == {"x": 1}
    assert result["cdpUrl"].startswith("ws://127.0.0.1:")


def test_an_exception_in_the_hook_is_the_users_error(unruly):
    error = unruly.run("api/echo", {"hookThrows": True}).error
    assert (error["code"], error["message"]) == ("user-error", "the hook threw")


def test_a_context_the_hook_brings_gets_the_session_and_is_cleaned_up(warm_worker, project, site):
    hook = """
        from playwright.async_api import async_playwright
        async def setup_context(*, cdp_url, api_name, api_parameters):
            playwright = await async_playwright().start()
            browser = await playwright.chromium.connect_over_cdp(cdp_url)
            context = await browser.new_context()
            async def cleanup():
                print("cleaned up")
                await playwright.stop()
            return context, await context.new_page(), cleanup
    """
    source = """
        async def automation(page, params):
            await page.goto(params["url"])
            return await page.evaluate("[localStorage.a, sessionStorage.s, document.cookie]")
    """
    warm_worker.bind(project({"hooks/setup_context.py": hook, "api/x.py": source}))
    cookie = {"name": "c", "value": "1", "domain": "127.0.0.1", "path": "/", "httpOnly": False, "secure": False}
    stores = {"localStorage": [{"name": "a", "value": "1"}], "sessionStorage": [{"name": "s", "value": "2"}]}
    state = {"version": 1, "cookies": [cookie], "origins": [{"origin": site.url, **stores}]}
    report = warm_worker.run("api/x", {"url": site.url}, session=state)
    assert report.result == ["1", "2", "c=1"]
    assert "cleaned up" in report.lines("stdout")
    assert report.idle["reusable"] is False, "a hook's own browser connection is a doubt"


@pytest.mark.parametrize("returned", ["5", "(None, None)", "'x', 'y', 'z', 'w'"])
def test_a_hook_that_returns_something_else_is_the_users_error(warm_worker, project, returned):
    hook = f"async def setup_context(*, cdp_url, api_name, api_parameters): return {returned}\n"
    source = "async def automation(page, params=None): pass\n"
    warm_worker.bind(project({"hooks/setup_context.py": hook, "api/x.py": source}))
    assert warm_worker.run("api/x").error["code"] == "user-error"


def test_payloads_come_in_order_before_done_and_only_on_success(unruly):
    report = unruly.run("api/extends-payload")
    assert report.payloads == [
        {"api": "echo", "parameters": {"value": 1}},
        {"api": "nested/deep-er/dashed-name", "parameters": {"value": [2]}},
        {"api": "echo", "parameters": {}},
    ]
    failed = unruly.run("api/extends-payload", {"fails": True})
    assert failed.error["message"] == "after extending" and failed.payloads == []


def test_more_payloads_than_a_frame_holds_come_in_several(scratch):
    source = """
        from intuned_runtime import extend_payload
        async def automation(page, params=None):
            extend_payload([{"api": "x", "parameters": {"n": n, "text": "x" * 1_000_000}} for n in range(20)])
    """
    report = scratch.run(source)
    assert [item["parameters"]["n"] for item in report.payloads] == list(range(20))
    assert report.count("payloads") > 1


@pytest.mark.parametrize(
    "payload",
    [
        "{'api': 'x'}",
        "{'api': 1, 'parameters': {}}",
        "{'api': 'x', 'parameters': [1]}",
        "{'api': 'x', 'parameters': {'a': object()}}",
        "{'api': 'x', 'parameters': {'a': 'x' * 2**24}}",
    ],
)
def test_a_payload_that_cannot_be_sent_fails_the_attempt_and_none_is_sent(scratch, payload):
    source = f"""
        from intuned_runtime import extend_payload
        async def automation(page, params=None):
            extend_payload({{"api": "fine", "parameters": {{}}}}, {payload})
    """
    report = scratch.run(source)
    assert report.error["code"] == "invalid-output" and report.payloads == []


def test_extensions_are_sent_at_most_once_a_second_the_first_at_once(unruly):
    report = unruly.run("api/extends-timeout", {"seconds": 1.2})
    assert report.result == "in time" and report.count("extend") == 2


def test_both_stores_keep_what_they_are_given(unruly):
    first = unruly.run("api/stores", {"key": "k/ä?", "value": {"n": 1}}).result
    assert first == {
        "before": "missing", "after": {"n": 1}, "attempt": True, "attemptNull": True, "attemptMissing": True,
    }
    assert unruly.run("api/stores", {"key": "k/ä?", "value": 0}).result["before"] == {"n": 1}
    assert unruly.values["k/ä?"] == 0


def test_a_bad_key_is_a_value_error_and_asks_nothing(unruly):
    report = unruly.run("api/bad-key")
    assert report.error["name"] == "ValueError" and report.count("call") == 0


def test_a_call_the_worker_refuses_is_an_exception_of_the_user(scratch):
    source = """
        from intuned_runtime.stores import _calls
        async def automation(page, params=None):
            await _calls().ask("nonsense", {})
    """
    error = scratch.run(source).error
    assert (error["code"], error["name"]) == ("user-error", "CallError") and "no nonsense here" in error["message"]


def test_the_run_knows_its_ids_and_absent_ones_are_none(unruly):
    result = unruly.run("api/context-info", context={"runId": "r", "jobId": "j", "attemptNumber": 2}).result
    assert result == {"runId": "r", "jobId": "j", "jobRunId": None, "authSessionId": None}


def test_attributes_are_reported_on_success_and_failure(scratch):
    source = """
        from intuned_runtime import set_attribute, delete_attribute
        async def automation(page, params=None):
            set_attribute("kept", ["a"]); set_attribute("gone", 1); delete_attribute("gone")
            if params: raise RuntimeError("no")
    """
    assert scratch.run(source).done["attributes"] == {"kept": ["a"]}
    assert scratch.run(source, {"fail": True}).done["attributes"] == {"kept": ["a"]}


def test_a_deferred_function_gets_its_page_when_it_asks(scratch):
    source = """
        from intuned_runtime import deferred_browser
        @deferred_browser
        async def automation(params, ensure_browser):
            context, page = await ensure_browser()
            return [params, page.context is context, (await ensure_browser())[1] is page]
    """
    assert scratch.run(source, 5).result == [5, True, True]


@pytest.mark.parametrize(("parameters", "expected"), [({"user": "ada"}, {"user": "ada"}), (None, "Exception")])
def test_auth_parameters_are_given_or_raise(scratch, parameters, expected):
    source = """
        from intuned_runtime import get_auth_session_parameters
        async def automation(page, params=None):
            try: return await get_auth_session_parameters()
            except Exception as error: return type(error).__name__
    """
    assert scratch.run(source, authParameters=parameters).result == expected


def test_bound_variables_are_in_the_environment(scratch):
    source = "import os\nVALUE = os.environ['MINE']\nasync def automation(page, params=None): return VALUE\n"
    assert scratch.run(source).result == "yes"


def test_a_second_attempt_finds_nothing_of_the_first_in_its_browser(unruly, site):
    seen = [unruly.run("api/leftovers", {"visit": f"{site.url}/"}) for _ in range(2)]
    assert [report.result | {"marks": 0} for report in seen] == [{"marks": 0, "cookies": 0, "stored": 0, "pages": 1}] * 2
    assert seen[1].result["marks"] == seen[0].result["marks"] + 1, "the process is the same"


def test_the_page_sees_an_ordinary_browser(unruly, site):
    seen = unruly.run("api/what-the-page-sees", {"visit": f"{site.url}/"}, timezone="Asia/Kathmandu", locale="de-DE",
                      viewport={"width": 1300, "height": 700}).result
    assert "Headless" not in seen["userAgent"] and not any("Headless" in brand for brand in seen["brands"] or [])
    assert seen["webdriver"] is False
    assert (seen["innerWidth"], seen["innerHeight"]) == (1300, 700)
    assert seen["language"] == "de-DE" and seen["timeZone"] in ("Asia/Kathmandu", "Asia/Katmandu")


def test_a_later_tab_sees_the_same_browser(scratch, site):
    source = """
        async def automation(page, params):
            other = await page.context.new_page()
            await other.goto(params["url"])
            return await other.evaluate("navigator.userAgentData.brands.map(one => one.brand).join()")
    """
    brands = scratch.run(source, {"url": site.url}).result
    assert "Chromium" in brands and "Headless" not in brands


def test_a_trace_is_complete_before_done(unruly, site):
    path = unruly.slot / "trace.zip"
    trace = {"path": str(path), "screenshots": True, "snapshots": True, "sources": True}
    unruly.start("api/echo", {"visit": f"{site.url}/", "value": 1}, trace=trace)
    unruly.until("done")
    assert any(name.endswith("trace.trace") for name in zipfile.ZipFile(path).namelist())
    unruly.until("idle")


def test_an_abort_cancels_and_retires_the_slot(warm_worker, project):
    source = """
        import asyncio
        async def automation(page, params=None):
            while True:
                try: await asyncio.Event().wait()
                except asyncio.CancelledError: print("not me")
    """
    warm_worker.bind(project({"api/x.py": source})).start("api/x")
    warm_worker.until("running")
    warm_worker.send("abort", attemptId="a1")
    report = warm_worker.finish()
    assert report.error["code"] == "aborted" and report.idle["reusable"] is False


def test_an_abort_of_another_attempt_changes_nothing(unruly):
    unruly.start("api/extends-timeout", {"seconds": 0.3})
    unruly.until("running")
    unruly.send("abort", attemptId="someone else's")
    assert unruly.finish().result == "in time"


def test_a_closed_browser_is_the_users_error_and_retires_the_slot(warm_worker):
    from worker import FIXTURES

    report = warm_worker.bind(FIXTURES / "unruly-py").run("api/closes-browser")
    assert report.error["code"] == "user-error"
    assert report.idle["reusable"] is False and "browser" in report.idle["reason"]


def test_a_context_that_cannot_be_made_is_the_slots_failure(unruly):
    report = unruly.run("api/echo", timezone="Nowhere/Atlantis")
    assert report.error["code"] == "slot-failed" and report.count("running") == 0
