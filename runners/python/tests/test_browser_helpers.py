"""The cases of runners/cases against the Python package, the ones with pages in the real headless shell.

The Node package runs the same tables. The page cases run together in one browser, several at a time; each test then
reports on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import intuned_browser
import pytest
from intuned_browser import Attachment, S3Configs, ValidationError
from intuned_browser.attachment import AttachmentType, SignedUrlAttachment
from intuned_browser.s3 import object_url
from intuned_browser.sigv4 import Credentials, presign, sign_headers
from intuned_browser.uploads import clean_name
from keywright_runner.scope import IntunedContext, Platform
from playwright.async_api import Browser, Error, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeoutError
from pydantic import BaseModel

CASES = Path(__file__).resolve().parents[2] / "cases"
PAGES_AT_ONCE = 6
S3_KEYS = {"access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
KINDS: dict[str, type[Exception]] = {
    "AttributeError": AttributeError,
    "Error": Error,
    "OverflowError": OverflowError,
    "TimeoutError": PlaywrightTimeoutError,
    "TypeError": TypeError,
    "ValueError": ValueError,
}
# Where the languages name or measure an option differently: name in Node -> (name in Python, factor)
RENAMED = {
    "timeoutInMs": ("timeout_s", 0.001),
    "settleDurationMs": ("settle_duration", 0.001),
    "delayInMs": ("delay_s", 0.001),
    "waitForLoadingStateUsingAi": ("wait_for_load_using_ai", None),
}


def table(name: str) -> dict[str, Any]:
    return json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"), object_hook=expanded)


def expanded(record: dict[str, Any]) -> Any:
    """A text that a table writes as `{repeat, times, then, closed}`."""
    if "repeat" not in record:
        return record
    times = record["times"]
    return record["repeat"] * times + record["then"] + record.get("closed", "") * times


def cases(name: str) -> Any:
    found = [case for case in table(name)["cases"] if case.get("only", "python") == "python"]
    return pytest.mark.parametrize("case", found, ids=[case["name"] for case in found])


def snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def options(given: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for name, value in given.items():
        own, factor = RENAMED.get(name, (snake(name), None))
        result[own] = value if factor is None else value * factor
    return result


def refused(error: dict[str, str]) -> Any:
    return pytest.raises(KINDS[error["python"]], match=re.escape(error["contains"]) if "contains" in error else None)


@cases("filter-empty-values")
def test_filter_empty_values(case: dict[str, Any]) -> None:
    data = case["input"]["data"]
    before = copy.deepcopy(data)
    assert intuned_browser.filter_empty_values(data) == case["expected"]
    assert data == before


def test_tuples_and_models_are_neither_entered_nor_removed() -> None:
    class Thing(BaseModel):
        name: str = ""

    data = {"tuple": (), "thing": Thing()}
    assert intuned_browser.filter_empty_values(data) == data


@cases("sanitize-html")
def test_sanitize_html(case: dict[str, Any]) -> None:
    given = dict(case["input"])
    assert intuned_browser.sanitize_html(given.pop("html"), **options(given)) == case["expected"]


@cases("process-date")
def test_process_date(case: dict[str, Any]) -> None:
    text = case["input"]["date"]
    if "error" in case:
        with refused(case["error"]):
            intuned_browser.process_date(text)
        return

    def expected() -> str | None:
        pattern = case.get("expectedFromToday")
        if pattern is None:
            return case["expected"]
        return pattern.replace("YYYY", f"{datetime.now():%Y}").replace("MM", f"{datetime.now():%m}").replace(
            "DD", f"{datetime.now():%d}"
        )

    # Today may change between two looks at the clock.
    before, found, after = expected(), intuned_browser.process_date(text), expected()
    assert (found and found.strftime("%Y-%m-%d")) in (before, after)
    if found is not None:
        assert (found.hour, found.minute, found.second, found.microsecond, found.tzinfo) == (0, 0, 0, 0, None)


@cases("resolve-url")
async def test_resolve_url(case: dict[str, Any]) -> None:
    if "error" in case:
        with refused(case["error"]):
            await intuned_browser.resolve_url(**options(case["input"]))
    else:
        assert await intuned_browser.resolve_url(**options(case["input"])) == case["expected"]


@cases("validate-data")
def test_validate_data_using_schema(case: dict[str, Any]) -> None:
    data, schema = case["data"], case["schema"]
    before = copy.deepcopy((data, schema))
    if case.get("foreignError"):
        with pytest.raises(Exception) as foreign:
            intuned_browser.validate_data_using_schema(data, schema)
        assert not isinstance(foreign.value, ValidationError)
    elif "problems" in case or case.get("fits") is False:
        with pytest.raises(ValidationError) as found:
            intuned_browser.validate_data_using_schema(data, schema)
        assert found.value.data == data
        if "problems" in case:
            assert sorted(line.split(":")[0] for line in str(found.value).split("\n")[1:]) == case["paths"]
    else:
        intuned_browser.validate_data_using_schema(data, schema)
    assert (data, schema) == before


def test_models_are_validated_as_the_records_they_dump_to() -> None:
    class Order(BaseModel):
        placed: datetime
        invoice: Attachment

    invoice = SignedUrlAttachment(file_name="k", key="k", suggested_file_name="s", signed_url="https://x.example")
    order = Order(placed=datetime(2024, 1, 1), invoice=invoice)
    schema = {
        "type": "array",
        "items": {"type": "object", "properties": {"placed": {"type": "string"}, "invoice": {"type": "attachment"}}},
    }
    intuned_browser.validate_data_using_schema([order], schema)


def test_signatures_of_s3_requests() -> None:
    given = table("sigv4")
    credentials = Credentials(given["credentials"]["accessKeyId"], given["credentials"]["secretAccessKey"])
    region, now = given["region"], datetime.strptime(given["now"], "%Y-%m-%dT%H:%M:%SZ")
    for case in given["presigned"]:
        url = presign("GET", case["url"], region, credentials, now, case["expiresSeconds"])
        assert url.endswith(f"X-Amz-Signature={case['signature']}"), case["name"]
    for case in given["headers"]:
        signed = sign_headers(
            case["method"], case["url"], case["headers"], case["payloadSha256"], region, credentials, now
        )
        assert signed["authorization"].endswith(f"Signature={case['signature']}"), case["name"]
    for case in given["objectUrls"]:
        assert object_url(**{"endpoint": None, **case["input"]}) == case["expected"], case["name"]
    for name, cleaned in given["cleanNames"]:
        assert clean_name(name) == cleaned


def test_credentials_do_not_show_themselves() -> None:
    assert "secret" not in repr(Credentials("key", "secret", "secret-token"))


# ---- Import paths


def test_older_import_paths_lead_to_the_same_names() -> None:
    import intuned_browser.helpers
    import intuned_browser.helpers.types as types

    for name in intuned_browser.__all__:
        assert getattr(intuned_browser.helpers, name) is getattr(intuned_browser, name)
    assert types.SignedUrlAttachment is SignedUrlAttachment


def test_a_project_pays_only_for_what_it_imports() -> None:
    heavy = ("pydantic", "bs4", "jsonschema", "dateutil")
    code = (
        "import sys; from intuned_browser import go_to_url, wait_for_dom_settled, filter_empty_values, process_date;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    source = Path(intuned_browser.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


async def test_the_ai_helpers_load_and_say_that_there_is_no_gateway() -> None:
    from intuned_browser.ai import extract_structured_data, is_page_loaded

    with pytest.raises(RuntimeError, match="extract_structured_data is not available.*no AI gateway"):
        await extract_structured_data(content={"type": "text", "data": "x"}, data_schema={})
    with pytest.raises(RuntimeError, match="is_page_loaded is not available.*no AI gateway"):
        await is_page_loaded(None)


# ---- Attachments


def test_an_attachment_leaves_out_what_is_none_wherever_it_is() -> None:
    class Result(BaseModel):
        file: Attachment
        files: list[Attachment]

    plain = Attachment(file_name="u/a b", key="u/a b", suggested_file_name="", bucket="b", region="r")
    signed = SignedUrlAttachment(file_name="a", key="a", suggested_file_name="a", signed_url="https://x.example")
    record = {
        "file_name": "u/a b",
        "key": "u/a b",
        "suggested_file_name": "",
        "file_type": "document",
        "bucket": "b",
        "region": "r",
    }
    signed_record = {
        "file_name": "a",
        "key": "a",
        "suggested_file_name": "a",
        "file_type": "document",
        "signed_url": "https://x.example",
    }
    assert plain.to_dict() == plain.__json__() == plain.model_dump(exclude_none=False) == record
    assert plain.file_type is AttachmentType.DOCUMENT
    assert json.loads(Result(file=signed, files=[plain]).model_dump_json()) == {"file": signed_record, "files": [record]}
    assert Attachment.from_dict({**record, "more": 1}) == plain


async def test_an_attachment_knows_its_place() -> None:
    at_s3 = Attachment(file_name="u/a b", key="u/a b", suggested_file_name="", bucket="b", region="r")
    assert at_s3.get_s3_key() == "https://b.s3.r.amazonaws.com/u/a b"
    with pytest.raises(ValueError, match="endpoint"):
        at_s3.model_copy(update={"endpoint": "https://s3.example"}).get_s3_key()
    with pytest.raises(ValueError, match="bucket and region"):
        await at_s3.model_copy(update={"bucket": None}).get_signed_url()
    with pytest.raises(Exception, match="no S3 credentials"):
        await at_s3.get_signed_url()


# ---- With a browser


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    with subprocess.Popen(
        ["node", str(CASES / "site.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextlib.asynccontextmanager
async def chrome() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell", chromium_sandbox=os.getuid() != 0
        )
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def on_page(browser: Browser, address: str | None) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()
    if address:
        await page.goto(address)
    yield page
    await context.close()


@pytest.fixture
async def page(site: str) -> AsyncIterator[Page]:
    async with chrome() as browser, on_page(browser, f"{site}/dir/sub/links") as opened:
        yield opened


Check = Callable[[Browser, str, dict[str, Any]], Awaitable[None]]


def run_together(check: Check, given: list[dict[str, Any]], site: str) -> dict[str, BaseException | None]:
    """What each case ended with, by its name."""

    async def run() -> list[BaseException | None]:
        free = asyncio.Semaphore(PAGES_AT_ONCE)

        async def one(case: dict[str, Any]) -> None:
            async with free:
                await check(browser, site, case)

        async with chrome() as browser:
            return await asyncio.gather(*map(one, given), return_exceptions=True)

    return dict(zip((case["name"] for case in given), asyncio.run(run()), strict=True))


async def check_markdown(browser: Browser, _site: str, case: dict[str, Any]) -> None:
    async with on_page(browser, None) as page:
        await page.set_content(f"<!doctype html><title>t</title><body>{case['body']}</body>")
        content = await page.content()
        source = page.locator(case["on"]) if "on" in case else page
        if "error" in case:
            with refused(case["error"]):
                await intuned_browser.extract_markdown(source)
        else:
            assert await intuned_browser.extract_markdown(source) == case["expected"]
        assert await page.content() == content


async def check_page(browser: Browser, site: str, case: dict[str, Any]) -> None:
    number = [other["name"] for other in table("pages")["cases"]].index(case["name"])
    case = json.loads(json.dumps(case).replace("SITE", site).replace("CASE", f"python{number}"))
    calls: list[None] = []
    async with on_page(browser, site + case["open"] if "open" in case else None) as page:
        listeners = len(page._impl_obj.listeners("request"))
        if "error" in case:
            with refused(case["error"]):
                await call(page, case, lambda: calls.append(None))
        else:
            result = await call(page, case, lambda: calls.append(None))
            if hasattr(result, "suggested_filename"):
                text = Path(await result.path()).read_bytes().decode(errors="replace")
                result = {"name": result.suggested_filename, **({"text": text} if "text" in case["expected"] else {})}
            if "expected" in case:
                assert result == case["expected"]
        if "then" in case:
            assert await page.evaluate(case["then"][0]) == case["then"][1]
        if "calls" in case:
            assert len(calls) == case["calls"]
        assert len(page._impl_obj.listeners("request")) == listeners
        assert len(page.context.pages) == 1


async def call(page: Page, case: dict[str, Any], progress: Callable[[], None]) -> Any:
    """The helper that a case names, with the case's options in Python's names and units."""
    helper, given = case["helper"], dict(case["input"])
    source = page.locator(case["on"]) if "on" in case else page
    name = "wait_for_network_settled" if helper == "withNetworkSettledWait" else snake(helper)
    function = getattr(intuned_browser, name)
    if helper == "withNetworkSettledWait":
        script = given.pop("evaluate")
        return await function(page=page, func=lambda: page.evaluate(script), **options(given))
    if helper == "waitForDomSettled":
        return await function(source, **options(given))
    if helper == "scrollToLoadContent":
        source = given.pop("source", source)
        return await function(source, on_scroll_progress=progress, **options(given))
    if helper == "clickUntilExhausted":
        button, container = page.locator(given.pop("button")), given.pop("container", None)
        if container:
            given["containerLocator"] = page.locator(container)
        return await function(page, button, progress, **options(given))
    if helper == "resolveUrl":
        url = given.pop("url")
        given["url"] = page.locator(url["locator"]) if isinstance(url, dict) else url
        if given.pop("page", False):
            given["page"] = page
        return await function(**options(given))
    if helper == "downloadFile":
        return await function(page, trigger_of(page, given.pop("trigger")), **options(given))
    return await function(page, given.pop("url"), **options(given))


def trigger_of(page: Page, trigger: Any) -> Any:
    if isinstance(trigger, str):
        return trigger
    if "locator" in trigger:
        return page.locator(trigger["locator"])
    if "click" in trigger:
        return lambda given: given.locator(trigger["click"]).click()

    def throws(_page: Page) -> None:
        raise RuntimeError(trigger["throws"])

    return throws


@pytest.fixture(scope="session")
def markdown_outcomes(site: str) -> dict[str, BaseException | None]:
    return run_together(check_markdown, table("markdown")["cases"], site)


@pytest.fixture(scope="session")
def page_outcomes(site: str) -> dict[str, BaseException | None]:
    return run_together(check_page, table("pages")["cases"], site)


@cases("markdown")
def test_extract_markdown(case: dict[str, Any], markdown_outcomes: dict[str, BaseException | None]) -> None:
    if (error := markdown_outcomes[case["name"]]) is not None:
        raise error


@cases("pages")
def test_on_pages(case: dict[str, Any], page_outcomes: dict[str, BaseException | None]) -> None:
    if (error := page_outcomes[case["name"]]) is not None:
        raise error


# ---- Forms that only Python has


async def test_settle_waits_are_decorators_too(page: Page) -> None:
    @intuned_browser.wait_for_network_settled
    async def titled(_word: str, on: Page) -> str:
        """Its own words."""
        return await on.title()

    @intuned_browser.wait_for_network_settled(max_inflight_requests=1)
    async def by_keyword(*, page: Page) -> str:
        return await page.title()

    @intuned_browser.wait_for_dom_settled(settle_duration=0.05)
    async def by_source(source: Any) -> int:
        return await source.count()

    assert titled.__name__ == "titled" and titled.__doc__ == "Its own words."
    assert await titled("x", page) == await by_keyword(page=page) == "page"
    assert await by_source(page.locator("#a")) == 1
    assert await intuned_browser.wait_for_dom_settled(source=page, func=page.title, settle_duration=0.05) == "page"
    with pytest.raises(ValueError, match="without a Page"):
        await titled("x", None)


async def test_other_shapes_of_the_settle_waits_are_refused_at_once(page: Page) -> None:
    network, dom = intuned_browser.wait_for_network_settled, intuned_browser.wait_for_dom_settled
    for wrong in (
        lambda: network(page),
        lambda: network(page=page),
        lambda: network(page="page", func=page.title),
        lambda: network(page.title, page=page),
        lambda: dom("page"),
        lambda: dom(source="page"),
        lambda: dom(func=page.title),
        lambda: dom(page, source=page),
    ):
        with pytest.raises(ValueError):
            wrong()


async def test_what_is_no_page_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a Playwright Page"):
        await intuned_browser.go_to_url("page", "https://x.example")
    with pytest.raises(ValueError, match="must be a Playwright Page"):
        await intuned_browser.save_file_to_s3(object(), "https://x.example")
    with pytest.raises(ValueError, match="must be a Playwright Page or Locator"):
        await intuned_browser.extract_markdown("page")


async def test_an_element_handle_is_a_trigger(page: Page) -> None:
    handle = await page.query_selector("a >> text=report")
    download = await intuned_browser.download_file(page, handle)
    assert download.suggested_filename == "report (1).csv"


# ---- Files


def objects(site: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{site}/objects") as answer:
        return json.load(answer)


def configs(site: str) -> dict[str, str]:
    return {"bucket_name": "files", "region": "eu-central-1", "endpoint": site, **S3_KEYS}


async def test_bytes_arrive_at_s3_signed_under_a_cleaned_name(site: str) -> None:
    attachment = await intuned_browser.upload_file_to_s3(
        b"hello", configs=S3Configs(**configs(site)), file_name_override="reports/a b.txt", content_type="text/plain"
    )
    assert re.fullmatch(r"[0-9a-f-]{36}/reports/a_b\.txt", attachment.key)
    assert objects(site)[f"/files/{attachment.key}"] == {"contentType": "text/plain", "text": "hello"}
    assert attachment.to_dict() == {
        "file_name": attachment.key,
        "key": attachment.key,
        "suggested_file_name": "",
        "file_type": "document",
        "bucket": "files",
        "region": "eu-central-1",
        "endpoint": site,
    }


async def test_a_download_arrives_at_s3_and_its_temporary_file_is_gone(site: str, page: Page) -> None:
    download = await intuned_browser.download_file(page, f"{site}/report.csv")
    path = Path(await download.path())
    attachment = await intuned_browser.upload_file_to_s3(download, configs=configs(site))
    assert re.fullmatch(r"[0-9a-f-]{36}/report_1_\.csv", attachment.key)
    assert attachment.suggested_file_name == "report (1).csv"
    assert objects(site)[f"/files/{attachment.key}"] == {"contentType": None, "text": "a,b\n1,2\n"}
    assert not path.exists()


async def test_a_wrong_secret_is_the_refusal_of_s3_and_not_in_it(site: str) -> None:
    with pytest.raises(Exception, match="status 403.*SignatureDoesNotMatch") as refusal:
        await intuned_browser.upload_file_to_s3(b"x", configs={**configs(site), "secret_key": "not-the-secret"})
    assert "not-the-secret" not in str(refusal.value)


async def test_configs_that_do_not_fit_are_refused(site: str) -> None:
    without_keys = {name: value for name, value in configs(site).items() if name not in S3_KEYS}
    with pytest.raises(Exception, match="no S3 credentials"):
        await intuned_browser.upload_file_to_s3(b"x", configs=without_keys)
    with pytest.raises(ValueError, match="look at: secret_key") as misfit:
        await intuned_browser.upload_file_to_s3(b"x", configs={"secret_key": ["hush"]})
    assert "hush" not in str(misfit.value)
    with pytest.raises(TypeError, match="configs must be"):
        await intuned_browser.upload_file_to_s3(b"x", configs="files")


async def test_the_environment_fills_what_configs_leave_out_and_signs_urls(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BUCKET", "from-env")
    monkeypatch.setenv("INTUNED_S3_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", site)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEYS["access_key"])
    monkeypatch.setenv("INTUNED_S3_SECRET_ACCESS_KEY", S3_KEYS["secret_key"])
    attachment = await intuned_browser.upload_file_to_s3(b"A", configs={"bucket_name": ""})
    assert objects(site)[f"/from-env/{attachment.key}"]["text"] == "A"
    url = await attachment.get_signed_url(60)
    assert re.search(r"/from-env/.*X-Amz-Expires=60&.*X-Amz-Signature=[0-9a-f]{64}$", url)


@pytest.mark.parametrize("file", ["a.txt", bytearray(b"x"), Path("a.txt")], ids=["text", "bytearray", "path"])
async def test_only_downloads_and_bytes_are_files(file: Any) -> None:
    with pytest.raises(ValueError, match="can be uploaded"):
        await intuned_browser.upload_file_to_s3(file)


class Worker:
    """What a worker does with `file.store`, remembered."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        self.asked.append({"method": method, **params, "text": Path(params["path"]).read_text()})
        return {"id": "f1", "readUrl": "http://platform.example/files/f1"}


async def test_a_file_in_the_platforms_own_store_keeps_its_name(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYWRIGHT_SLOT_DIR", str(tmp_path))
    worker = Worker()
    with IntunedContext() as context:
        context.platform = Platform(worker, None, lambda: None)  # type: ignore[arg-type]
        attachment = await intuned_browser.save_file_to_s3(
            page, page.locator("a >> text=report"), content_type="text/csv"
        )
    (asked,) = worker.asked
    assert Path(asked.pop("path")).is_relative_to(tmp_path)
    assert asked == {
        "method": "file.store",
        "fileName": "report (1).csv",
        "contentType": "text/csv",
        "text": "a,b\n1,2\n",
    }
    assert list(tmp_path.iterdir()) == []
    assert attachment.to_dict() == {
        "file_name": "report (1).csv",
        "key": "report (1).csv",
        "suggested_file_name": "report (1).csv",
        "file_type": "document",
        "signed_url": "http://platform.example/files/f1",
    }
    assert await attachment.get_signed_url() == "http://platform.example/files/f1"
    with pytest.raises(ValueError, match="platform's own store"):
        attachment.get_s3_key()


async def test_outside_of_a_run_there_is_no_such_store() -> None:
    with pytest.raises(Exception, match="outside a run"):
        await intuned_browser.upload_file_to_s3(b"x")


async def test_in_authoring_mode_nothing_is_uploaded(site: str, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODE", "generate_code")
    attachment = await intuned_browser.save_file_to_s3(page, f"{site}/report.csv")
    assert attachment.bucket == "testing_bucket"
    assert re.fullmatch(r"[0-9a-f-]{36}/report \(1\)\.csv", attachment.file_name)
    assert attachment.file_name != attachment.key
    assert await attachment.get_signed_url() == "https://authoring.invalid/file"
    of_bytes = await intuned_browser.upload_file_to_s3(b"x")
    assert of_bytes.key == of_bytes.suggested_file_name
