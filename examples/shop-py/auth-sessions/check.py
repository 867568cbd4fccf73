"""Does the session still hold? The account page says so once its script has asked the shop."""

from playwright.async_api import Page

from helpers.address import shop_address


async def check(page: Page, **_kwargs) -> bool:
    await page.goto(f"{await shop_address()}/account")
    status = page.locator("#status[data-state=in], #status[data-state=out]")
    await status.wait_for()
    return await status.get_attribute("data-state") == "in"
