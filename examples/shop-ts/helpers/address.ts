// Where the shop is. A check gets no parameters, so the address can come from four places, the nearest first.

import { getAuthSessionParameters, persistentStore } from "@intuned/runtime";

const STORE_KEY = "shop-address";

export async function shopAddress(params?: { baseUrl?: string }): Promise<string> {
  const address =
    params?.baseUrl ??
    (await addressOfSession()) ??
    process.env.SHOP_URL ??
    (await persistentStore.get(STORE_KEY));
  if (!address) throw new Error("Where is the shop? Give baseUrl, or set SHOP_URL.");
  return address;
}

/** For checks of sessions whose parameters are not kept (runtime input). */
export async function rememberAddress(address: string): Promise<void> {
  await persistentStore.set(STORE_KEY, address);
}

async function addressOfSession(): Promise<string | undefined> {
  try {
    return (await getAuthSessionParameters())?.baseUrl;
  } catch {
    return undefined;
  }
}
