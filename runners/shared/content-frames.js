// Runs in the page: what an iframe is worth to somebody who waits for, or reads, the page's content.
//
// "skip"    nothing of the page's own: a captcha, a tracker, or a frame of at most one pixel
// "static"  content, but scripts may not run in it, so it cannot go on changing by itself
// "live"    content
//
// Evaluated with the iframe element; changes nothing. The file is one function expression and must stay one.
(iframe) => {
  const FOREIGN_HOSTS = [
    "recaptcha.net",
    "hcaptcha.com",
    "challenges.cloudflare.com",
    "arkoselabs.com",
    "funcaptcha.com",
    "captcha-delivery.com",
    "geetest.com",
    "googletagmanager.com",
    "google-analytics.com",
    "googlesyndication.com",
    "doubleclick.net",
    "adsrvr.org",
    "criteo.com",
    "hotjar.com",
  ];
  const FOREIGN_PATHS = ["/recaptcha/", "/turnstile/"];
  const MAX_PIXEL_SIDE = 1;

  // Without the border, which a frame has unless it is told not to.
  if (iframe.clientWidth <= MAX_PIXEL_SIDE || iframe.clientHeight <= MAX_PIXEL_SIDE) return "skip";
  let url;
  try {
    url = new URL(iframe.getAttribute("src") || "about:blank", document.baseURI);
  } catch {
    url = new URL("about:blank");
  }
  const isForeign =
    FOREIGN_HOSTS.some((host) => url.hostname === host || url.hostname.endsWith(`.${host}`)) ||
    FOREIGN_PATHS.some((path) => url.pathname.includes(path));
  if (isForeign) return "skip";
  const sandbox = iframe.getAttribute("sandbox");
  return sandbox !== null && !sandbox.toLowerCase().split(/\s+/).includes("allow-scripts") ? "static" : "live";
}
