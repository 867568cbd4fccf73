"""The orders, page after page. With `details`, asks for one `orders/details` run per order
(carried out when this is part of a job)."""

from urllib.parse import urljoin

from intuned_runtime import extend_payload
from playwright.async_api import Page

from helpers.address import shop_address

READ_ROWS = """rows => rows.map(row => ({
  id: row.dataset.id,
  date: row.querySelector("time").textContent,
  item: row.querySelector(".item").textContent,
  total: row.querySelector(".total").textContent,
}))"""


async def automation(page: Page, params: dict | None = None, **_kwargs) -> dict:
    params = params or {}
    limit = params.get("limit")
    found: list[dict] = []
    await page.goto(f"{await shop_address(params)}/orders")
    while True:
        found += await page.locator("li.order").evaluate_all(READ_ROWS)
        print(f"{len(found)} orders so far")
        following = page.locator("a[rel=next]")
        if (limit is not None and len(found) >= limit) or await following.count() == 0:
            break
        await page.goto(urljoin(page.url, await following.get_attribute("href")))
    wanted = found[:limit]
    if params.get("details"):
        extend_payload(*({"api": "orders/details", "parameters": {"id": order["id"]}} for order in wanted))
    return {"count": len(wanted), "orders": wanted}
