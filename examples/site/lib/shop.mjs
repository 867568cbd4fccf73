// The shop itself: account, orders, invoices, and the calls that the pages' scripts make.

import { cookies, redirect, sendFile, sendHtml, sendJson } from "./http.mjs";
import { SESSION_COOKIE } from "./login.mjs";
import { ORDERS, PAGE_SIZE, invoiceCsv, invoicePdf, orderById } from "./orders.mjs";
import { accountPage, growingOrdersPage, homePage, orderPage, ordersPage, plainPage, welcomePage } from "./pages.mjs";

export const shopRoutes = {
  "GET /": (state, request, response) => sendHtml(response, 200, homePage()),
  "GET /account": (state, request, response) => sendHtml(response, 200, accountPage()),
  "GET /welcome": signedIn((state, request, response) => sendHtml(response, 200, welcomePage())),
  "POST /api/grants": signedIn(grants),
  "GET /api/me": me,
  "GET /api/orders": signedIn(ordersJson),
  "GET /orders": signedIn(ordersHtml),
  "GET /orders/scroll": signedIn((state, request, response) => sendHtml(response, 200, growingOrdersPage("scroll"))),
  "GET /orders/more": signedIn((state, request, response) => sendHtml(response, 200, growingOrdersPage("more"))),
  "GET /logout": (state, request, response) => {
    state.endSession(cookies(request)[SESSION_COOKIE]);
    redirect(response, "/", { "set-cookie": `${SESSION_COOKIE}=; Path=/; Max-Age=0` });
  },
};

/** `/orders/<id>` and `/orders/<id>/invoice.(pdf|csv)`. */
export const orderRoute = signedIn((state, request, response, url) => {
  const [, id, , kind] = /^\/orders\/([^/]+)(\/invoice\.(pdf|csv))?$/.exec(url.pathname) ?? [];
  const order = orderById(id);
  if (!order) return sendHtml(response, 404, plainPage("Not found", "There is no such order."));
  if (!kind) return sendHtml(response, 200, orderPage(order));
  state.countsOf(sessionOf(state, request).username).invoices += 1;
  if (kind === "pdf") return sendFile(response, `invoice-${order.id}.pdf`, "application/pdf", invoicePdf(order));
  return sendFile(response, `invoice-${order.id}.csv`, "text/csv", invoiceCsv(order));
});

export function sessionOf(state, request) {
  return state.session(cookies(request)[SESSION_COOKIE]);
}

function signedIn(handler) {
  return (state, request, response, url) => {
    if (sessionOf(state, request)?.alive) return handler(state, request, response, url);
    if (url.pathname.startsWith("/api/")) return sendJson(response, 401, { error: "signed out" });
    return redirect(response, "/login");
  };
}

function grants(state, request, response) {
  const { localToken, sessionToken, deviceToken } = sessionOf(state, request);
  sendJson(response, 200, { localToken, sessionToken, deviceToken, since: Date.now() });
}

/** Counts a check for the user whose cookie came, alive or not; without any cookie there is nobody to count for. */
function me(state, request, response) {
  const session = sessionOf(state, request);
  const live = session?.alive ? session : undefined;
  const missing = [
    ["cookie", live !== undefined],
    ["localStorage", live && request.headers["x-local-token"] === live.localToken],
    ["sessionStorage", live && request.headers["x-session-token"] === live.sessionToken],
    ["indexedDB", live && request.headers["x-device-token"] === live.deviceToken],
  ].filter(([, present]) => !present).map(([name]) => name);
  if (session) state.countsOf(session.username)[missing.length === 0 ? "checksPassed" : "checksFailed"] += 1;
  if (missing.length > 0) return sendJson(response, 401, { missing });
  return sendJson(response, 200, { name: state.users.get(live.username).name, username: live.username });
}

function ordersJson(state, request, response, url) {
  const offset = Number(url.searchParams.get("offset") ?? 0);
  const limit = Number(url.searchParams.get("limit") ?? PAGE_SIZE);
  sendJson(response, 200, { orders: ORDERS.slice(offset, offset + limit), total: ORDERS.length });
}

function ordersHtml(state, request, response, url) {
  const page = Math.max(1, Number.parseInt(url.searchParams.get("page") ?? "1", 10) || 1);
  sendHtml(response, 200, ordersPage(ORDERS, page));
}
