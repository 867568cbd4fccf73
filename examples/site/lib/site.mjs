// One request, from its counting to its answer. Faults (delays, holds) come after the counting, so that a test can see
// that a request arrived even while it is kept waiting.

import http from "node:http";
import { control, isControl } from "./control.mjs";
import { sendHtml } from "./http.mjs";
import { loginRoutes } from "./login.mjs";
import { plainPage } from "./pages.mjs";
import { orderRoute, sessionOf, shopRoutes } from "./shop.mjs";

const ROUTES = { ...loginRoutes, ...shopRoutes };

export function createSite(state, proxy) {
  return http.createServer(async (request, response) => {
    const url = new URL(request.url, "http://site");
    try {
      if (isControl(url)) return await control(state, request, response, url, proxy);
      if (url.pathname === "/favicon.ico") return response.writeHead(204).end();
      state.countHit(url.pathname, sessionOf(state, request)?.username, Boolean(request.headers.via));
      await state.obstruct(url.pathname);
      return await route(request, url)(state, request, response, url);
    } catch (error) {
      console.error(`${request.method} ${url.pathname}: ${error.stack}`);
      if (response.headersSent) return response.destroy();
      return sendHtml(response, 500, plainPage("Broken", "The site failed."));
    }
  });
}

function route(request, url) {
  const exact = `${request.method} ${url.pathname}`;
  if (Object.hasOwn(ROUTES, exact)) return ROUTES[exact];
  if (request.method === "GET" && url.pathname.startsWith("/orders/")) return orderRoute;
  return (state, _request, response) => sendHtml(response, 404, plainPage("Not found", "There is no such page."));
}
