"""The state of a login: all four stores across two attempts, and that the page cannot tell it was restored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from keywright_runner.browser import _same
from keywright_runner.state import StateKeeper
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from worker import BROWSER, EXAMPLES, Worker

SITE_A = "https://a.example"
SEEN_FIRST = "<script>window.first = [localStorage.a, sessionStorage.s, history.length, document.referrer]</script>"
FILL = (Path(__file__).parent / "fill_stores.js").read_text()
READ = (Path(__file__).parent / "read_stores.js").read_text()


# --- through the protocol, on the real site -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop_worker(tmp_path_factory: pytest.TempPathFactory, site) -> Iterator[Worker]:
    """One runner for every login of this file: each attempt has a context of its own."""
    worker = Worker(tmp_path_factory.mktemp("shop") / "slot")
    worker.warm()
    yield worker.bind(EXAMPLES / "shop-py", SHOP_URL=site.url)
    worker.close()


@pytest.fixture
def shop(shop_worker, site):
    site.control("reset")
    return shop_worker


def log_in(shop) -> dict[str, Any]:
    parameters = {"username": "ada", "password": "lovelace-1815"}
    report = shop.run("auth-sessions/create", parameters, captureSession=True)
    assert report.done["ok"], report.done
    return report.done["session"]


def test_a_login_is_captured_whole_and_restored_in_a_fresh_context(shop, site):
    state = log_in(shop)
    assert state["version"] == 1 and [cookie["name"] for cookie in state["cookies"]] == ["shop_session"]
    (origin,) = state["origins"]
    assert origin["origin"] == site.url
    (secrets,) = site.control("secrets", username="ada")["sessions"]
    assert origin["localStorage"] == [{"name": "shop.token", "value": secrets["localToken"]}]
    assert origin["sessionStorage"] == [{"name": "shop.visit", "value": secrets["sessionToken"]}]
    (database,) = origin["indexedDB"]
    assert (database["name"], database["version"]) == ("shop", 3)
    assert secrets["deviceToken"] in json.dumps(database)

    report = shop.run("auth-sessions/check", session=state, attemptId="a2")
    assert report.result is True
    assert site.state()["users"]["ada"]["checksPassed"] >= 1


@pytest.mark.parametrize("store", ["cookies", "localStorage", "sessionStorage", "indexedDB"])
def test_a_check_fails_when_one_of_the_four_stores_is_missing(shop, store):
    state = log_in(shop)
    holder = state if store == "cookies" else state["origins"][0]
    holder[store] = []
    assert shop.run("auth-sessions/check", session=state).result is False


def test_a_capture_after_a_restore_gives_the_same_state(shop):
    state = log_in(shop)
    # `check` changes nothing, so what it leaves is what was restored.
    again = shop.run("auth-sessions/check", session=state, captureSession=True).done["session"]
    assert again == state


def test_without_a_session_there_is_nothing_and_no_login(shop):
    assert shop.run("auth-sessions/check").result is False


def test_a_login_is_not_there_in_an_attempt_without_it_although_the_slot_had_prepared_for_it(shop):
    state = log_in(shop)
    assert [shop.run("auth-sessions/check", session=one).result for one in (state, None, state)] == [True, False, True]


def test_one_is_not_the_same_as_true_to_the_prepared_state():
    assert _same({"v": 1}, json.loads('{"v": 1}')) and not _same({"v": 1}, {"v": True}) and not _same({"v": 1}, None)


def test_what_could_not_be_restored_ahead_of_an_attempt_is_said_in_its_log(shop):
    state = log_in(shop)
    bad = {"name": "__Host-x", "value": "1", "domain": ".a.example", "path": "/", "httpOnly": False, "secure": True}
    state["cookies"].append(bad)
    for _ in range(2):  # the second attempt finds the state already in its page
        report = shop.run("auth-sessions/check", session=state)
        assert report.result is True
        assert report.lines("stderr") == ["the browser refused the cookie __Host-x of .a.example"]


def test_a_state_that_cannot_be_restored_is_the_slots_failure(shop):
    state = {"version": 1, "cookies": [], "origins": [{"origin": "no origin", "localStorage": [{"name": "a", "value": "b"}]}]}
    report = shop.run("auth-sessions/check", session=state)
    assert report.error["code"] == "slot-failed" and report.count("running") == 0


# --- the keeper itself, on pages that exist only in routes ------------------------------------------------------------


class Log:
    """What the attempt's log would have got."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, stream: str, level: str, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=BROWSER["executablePath"], chromium_sandbox=BROWSER["sandbox"]
        )
        yield browser
        await browser.close()


async def seat(browser: Browser, state: dict[str, Any] | None = None) -> tuple[BrowserContext, Page, StateKeeper, Log]:
    context = await browser.new_context()
    page = await context.new_page()
    log = Log()
    keeper = StateKeeper(log)  # type: ignore[arg-type]
    await keeper.restore(context, page, state)
    await context.route("**/*", lambda route: route.fulfill(body=SEEN_FIRST, content_type="text/html"))
    return context, page, keeper, log


def one_origin(**stores: Any) -> dict[str, Any]:
    return {"version": 1, "cookies": [], "origins": [{"origin": SITE_A, **stores}]}


async def test_every_kind_of_value_survives_the_journey(browser: Browser):
    context, page, keeper, log = await seat(browser)
    await page.goto(f"{SITE_A}/x")
    await page.evaluate(FILL)
    expected = await page.evaluate(READ)
    captured = json.loads(json.dumps(await keeper.capture(context), ensure_ascii=False).encode())
    assert [line for line in log.lines if "CryptoKey" in line] == log.lines and len(log.lines) == 1

    context, page, keeper, log = await seat(browser, captured)
    await page.goto(f"{SITE_A}/x")
    assert await page.evaluate(READ) == expected
    assert log.lines == []
    assert await keeper.capture(context) == captured


async def test_the_page_cannot_tell_a_restored_tab_from_an_untouched_one(browser: Browser):
    read = """() => ({
      first, globals: Object.keys(window).sort(), url: location.href,
      performance: performance.getEntriesByType("resource").length,
    })"""
    _, untouched, _, _ = await seat(browser)
    await untouched.goto(f"{SITE_A}/x")
    plain = await untouched.evaluate(read)
    stores = [{"name": "a", "value": "1"}]
    _, page, _, _ = await seat(browser, one_origin(localStorage=stores, sessionStorage=[{"name": "s", "value": "2"}]))
    assert page.url == "about:blank"
    await page.goto(f"{SITE_A}/x")
    restored = await page.evaluate(read)
    assert restored["first"][:2] == ["1", "2"] and plain["first"][:2] == [None, None]
    restored["first"][:2] = plain["first"][:2]
    assert restored == plain


async def test_what_the_site_deletes_stays_deleted(browser: Browser):
    stores = {"localStorage": [{"name": "a", "value": "1"}], "sessionStorage": [{"name": "s", "value": "2"}]}
    context, page, keeper, _ = await seat(browser, one_origin(**stores))
    await page.goto(f"{SITE_A}/x")
    await page.evaluate("localStorage.clear(); sessionStorage.clear()")
    await page.reload()
    await page.goto("https://b.example/")
    await page.goto(f"{SITE_A}/y")
    assert (await page.evaluate("first"))[:2] == [None, None]
    assert (await keeper.capture(context))["origins"] == []


@pytest.mark.parametrize("way", ["new_page", "window.open", "noopener"])
async def test_a_later_tab_has_all_stores_from_its_first_script_on(browser: Browser, way: str):
    # In UTF-16LE: the name "x", and a value that is a lone surrogate.
    odd = {"name": "eAA=", "value": "ANg=", "utf16": True}
    stores = {"localStorage": [{"name": "a", "value": "1"}], "sessionStorage": [odd, {"name": "s", "value": "2"}]}
    context, page, _, _ = await seat(browser, one_origin(**stores))
    await page.goto(f"{SITE_A}/x")
    if way == "new_page":
        tab = await context.new_page()
        assert tab.url == "about:blank"
        await tab.goto(f"{SITE_A}/y")
    else:
        async with context.expect_page() as opened:
            how = "noopener" if way == "noopener" else ""
            await page.evaluate("([url, how]) => { open(url, '_blank', how) }", [f"{SITE_A}/y", how])
        tab = await opened.value
        await tab.wait_for_load_state()
    assert (await tab.evaluate("first"))[:2] == ["1", "2"]
    assert await tab.evaluate("sessionStorage.x.charCodeAt(0)") == 0xD800


async def test_origins_left_behind_framed_or_in_closed_tabs_are_captured(browser: Browser):
    context, page, keeper, _ = await seat(browser)
    await page.goto("https://left.example/")
    await page.evaluate("sessionStorage.left = 1; localStorage.left = 2")
    popup = await context.new_page()
    await popup.goto("https://popup.example/")
    await popup.evaluate("localStorage.popup = 3")
    await popup.close()
    await page.goto(f"{SITE_A}/")
    await page.evaluate("document.body.innerHTML = '<iframe src=https://framed.example/></iframe>'")
    frame = page.frame_locator("iframe")
    await frame.locator("script").wait_for(state="attached")
    await page.frames[1].evaluate("localStorage.framed = 4; sessionStorage.framed = 5")
    await page.evaluate("addEventListener('pagehide', () => localStorage.setItem('unloaded', '1'))")

    state = await keeper.capture(context)
    found = {origin["origin"]: origin for origin in state["origins"]}
    assert set(found) == {"https://left.example", "https://popup.example", "https://framed.example"}
    assert found["https://left.example"]["sessionStorage"] == [{"name": "left", "value": "1"}]
    assert found["https://popup.example"]["localStorage"] == [{"name": "popup", "value": "3"}]
    assert found["https://framed.example"]["sessionStorage"] == [{"name": "framed", "value": "5"}]
    assert page.url == f"{SITE_A}/" and await page.evaluate("localStorage.unloaded") is None, "no live page was left"


async def test_an_origin_that_was_not_visited_is_kept_as_it_was(browser: Browser):
    state = one_origin(localStorage=[{"name": "a", "value": "1"}], sessionStorage=[], indexedDB=[])
    context, page, keeper, _ = await seat(browser, state)
    await page.goto("https://b.example/")
    assert (await keeper.capture(context))["origins"] == state["origins"]


async def test_nothing_is_lost_when_the_user_closed_every_page(browser: Browser):
    context, page, keeper, _ = await seat(browser)
    await page.goto(f"{SITE_A}/")
    await page.evaluate("localStorage.a = 1; document.cookie = 'c=1; secure'")
    await page.close()
    state = await keeper.capture(context)
    assert state["origins"][0]["localStorage"] == [{"name": "a", "value": "1"}]
    assert [cookie["name"] for cookie in state["cookies"]] == ["c"]


async def test_cookies_keep_every_attribute_and_a_refused_one_is_named(browser: Browser):
    cookies = [
        {"name": "host", "value": "1", "domain": "a.example", "path": "/p", "expires": -1, "httpOnly": True, "secure": True},
        {"name": "wide", "value": "", "domain": ".a.example", "path": "/", "expires": 4102444800, "httpOnly": False,
         "secure": True, "sameSite": "Strict"},
        {"name": "part", "value": "ü", "domain": "b.example", "path": "/", "expires": -1, "httpOnly": False, "secure": True,
         "sameSite": "None", "partitionKey": {"topLevelSite": SITE_A, "hasCrossSiteAncestor": True}},
    ]
    bad = {"name": "__Host-x", "value": "1", "domain": ".a.example", "path": "/", "httpOnly": False, "secure": True}
    context, _, keeper, log = await seat(browser, {"version": 1, "cookies": [*cookies, bad], "origins": []})
    captured = (await keeper.capture(context))["cookies"]
    by_name = {cookie["name"]: cookie for cookie in captured}
    # Chromium caps how far away an expiry can be; everything else must be equal.
    assert by_name["wide"].pop("expires") > 0 and cookies[1].pop("expires")
    assert by_name == {cookie["name"]: cookie for cookie in cookies}
    assert log.lines == ["the browser refused the cookie __Host-x of .a.example"]
