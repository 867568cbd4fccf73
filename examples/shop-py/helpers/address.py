"""Where the shop is. A check gets no parameters, so the address can come from four places, the nearest first."""

import os

from intuned_runtime import get_auth_session_parameters, persistent_store

STORE_KEY = "shop-address"


async def shop_address(params: dict | None = None) -> str:
    address = (
        (params or {}).get("baseUrl")
        or await _address_of_session()
        or os.environ.get("SHOP_URL")
        or await persistent_store.get(STORE_KEY)
    )
    if not address:
        raise RuntimeError("Where is the shop? Give baseUrl, or set SHOP_URL.")
    return address


async def remember_address(address: str) -> None:
    """For checks of sessions whose parameters are not kept (runtime input)."""
    await persistent_store.set(STORE_KEY, address)


async def _address_of_session() -> str | None:
    try:
        return (await get_auth_session_parameters()).get("baseUrl")
    except Exception:
        return None
