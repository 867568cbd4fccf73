"use strict";
// The words of dates, and how a text falls into tokens. Pure.

const MONTHS = new Map();
for (const [index, names] of [
  "jan january", "feb february", "mar march", "apr april", "may", "jun june",
  "jul july", "aug august", "sep sept september", "oct october", "nov november", "dec december",
].entries()) {
  for (const name of names.split(" ")) MONTHS.set(name, index + 1);
}

const WEEKDAYS = new Map();
for (const [index, names] of [
  "sun sunday", "mon monday", "tue tuesday", "wed wednesday", "thu thursday", "fri friday", "sat saturday",
].entries()) {
  for (const name of names.split(" ")) WEEKDAYS.set(name, index);
}

const UNITS = new Map([
  ["h", "hour"], ["hour", "hour"], ["hours", "hour"],
  ["m", "minute"], ["minute", "minute"], ["minutes", "minute"],
  ["s", "second"], ["second", "second"], ["seconds", "second"],
]);
const HALVES = new Map([["am", 0], ["a", 0], ["pm", 12], ["p", 12]]);
const UTC_NAMES = new Set(["utc", "gmt", "z"]);
// What may stand between the parts of a date and says nothing.
const FILLERS = new Set([" ", ".", ",", ";", "-", "/", "'", "at", "on", "and", "ad", "m", "t", "of", "st", "nd", "rd", "th"]);

const isFiller = (token) => FILLERS.has(token.toLowerCase());
const monthOf = (token) => MONTHS.get(token.toLowerCase());
const weekdayOf = (token) => WEEKDAYS.get(token.toLowerCase());
const unitOf = (token) => UNITS.get(token.toLowerCase());
/** Hours that am (0) or pm (12) adds. */
const halfOf = (token) => HALVES.get(token.toLowerCase());
const isUtcName = (token) => UTC_NAMES.has(token.toLowerCase());

/** Words, numbers (with at most one decimal point), blanks and single characters. */
function tokensOf(text) {
  const tokens = [];
  for (const [token] of text.matchAll(/\p{L}+(?:\.\p{L}+)*\.?|\d+(?:\.\d+)*\.?|\s|[^]/gu)) {
    const isDecimal = /^\d+\.\d+$/.test(token);
    if (/\s/.test(token)) tokens.push(" ");
    else if (isDecimal || !token.includes(".")) tokens.push(token);
    else tokens.push(...token.split(/(\.)/).filter(Boolean));
  }
  return tokens;
}

module.exports = { halfOf, isFiller, isUtcName, monthOf, tokensOf, unitOf, weekdayOf };
