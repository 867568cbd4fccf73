// Runs in the page: replaces `window.print`, so that whoever clicked a "print" button learns of it.
//
// Each evaluation starts a new watch; `window.__keywrightPrinted` is true once the page asked to print.
// The file is one function expression and must stay one.
() => {
  window.__keywrightPrinted = false;
  window.print = () => {
    window.__keywrightPrinted = true;
  };
}
