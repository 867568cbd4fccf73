// Runs in the page: resolves true once `settleMs` have passed without any change below the element (nodes, attributes,
// text), false when that has not happened within `timeoutMs`.
//
// Evaluated with an element; leaves nothing behind. The file is one function expression and must stay one.
(element, { settleMs, timeoutMs }) =>
  new Promise((resolve) => {
    let settleTimer;
    const finish = (isSettled) => {
      observer.disconnect();
      clearTimeout(settleTimer);
      clearTimeout(limitTimer);
      resolve(isSettled);
    };
    const startOver = () => {
      clearTimeout(settleTimer);
      settleTimer = setTimeout(() => finish(true), settleMs);
    };
    const observer = new MutationObserver(startOver);
    const limitTimer = setTimeout(() => finish(false), timeoutMs);
    observer.observe(element, { childList: true, subtree: true, attributes: true, characterData: true });
    startOver();
  })
