// The loader hook that answers our import names where Node runs such hooks in a thread of their own.

let urls = {};

export function initialize(data) {
  urls = data;
}

export function resolve(name, context, next) {
  return Object.hasOwn(urls, name) ? { url: urls[name], shortCircuit: true } : next(name, context);
}
