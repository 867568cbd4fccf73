"""One order and its invoice, kept as a file."""

from urllib.parse import quote

from intuned_browser import save_file_to_s3
from intuned_runtime import NonRetryableError
from playwright.async_api import Page

from helpers.address import shop_address


async def automation(page: Page, params: dict | None = None, **_kwargs) -> dict:
    order_id = (params or {}).get("id")
    if not order_id:
        raise NonRetryableError("id is required")
    answer = await page.goto(f"{await shop_address(params)}/orders/{quote(order_id, safe='')}")
    if answer and answer.status == 404:
        raise NonRetryableError(f"There is no order {order_id}")

    order = {name: await page.locator(f"#{name}").text_content() for name in ("date", "item", "total")}
    quantity = int(await page.locator("#quantity").text_content())
    invoice = await save_file_to_s3(page, page.locator("#invoice"))
    return {"id": order_id, **order, "quantity": quantity, "invoice": invoice}
