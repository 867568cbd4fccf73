"""Signs in. Whatever the browser holds when this returns (cookies and all three stores) is the session."""

from playwright.async_api import Page

from helpers.address import remember_address, shop_address
from helpers.totp import totp

OUTCOMES = "#status[data-state=in], #status[data-state=out], #otp-form:visible, #error:not(:empty)"


async def create(page: Page, params: dict | None = None, **_kwargs) -> None:
    address = await shop_address(params)
    await remember_address(address)

    await page.goto(f"{address}/login")
    await page.fill("#username", params["username"])
    await page.fill("#password", params["password"])
    await page.click("#sign-in")
    outcome = await _next_outcome(page)

    if outcome == "otp" and params.get("totpSecret"):
        await page.fill("#otp", totp(params["totpSecret"]))
        await page.click("#verify")
        outcome = await _next_outcome(page)
    if outcome != "in":
        raise RuntimeError(f"Could not sign in: {outcome}")


async def _next_outcome(page: Page) -> str:
    """"in", "otp", or what the page says went wrong."""
    sign = page.locator(OUTCOMES).first
    await sign.wait_for()
    if await sign.get_attribute("id") == "otp-form":
        return "otp"
    if await sign.get_attribute("data-state") == "in":
        return "in"
    return await sign.text_content() or "no reason given"
