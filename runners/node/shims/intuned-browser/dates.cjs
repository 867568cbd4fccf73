"use strict";
// processDate: the calendar day that a text names. Pure, except that parts the text leaves out come from today.

const { NoDate, daysIn } = require("./date-parts.cjs");
const { parseDate } = require("./date-parser.cjs");

// A year of two digits is the one within this many years of today.
const CENTURY_WINDOW_YEARS = 50;
const MAX_YEAR = 9999;
// A number from here on belongs to no calendar at all.
const OVERFLOW = 2 ** 31;

/**
 * Midnight in UTC of the day as written; null when the text is no date.
 *
 * Time and zone are read and dropped, nothing is converted. The month comes first where the order is ambiguous. Not a
 * string: TypeError. A number beyond every calendar: RangeError.
 */
function processDate({ date } = {}) {
  if (typeof date !== "string") throw new TypeError("processDate: date must be a string");
  // `January 31,2025` and `21:19:05,5` are one part each only to a machine.
  const text = date.replaceAll(" - ", " ").replace(/(\d),(?=\d{4}(?!\d))/g, "$1, ").replace(/(:\d\d),(?=\d)/g, "$1.");
  let found;
  try {
    found = parseDate(text);
  } catch (error) {
    if (error instanceof NoDate) return null;
    throw error;
  }
  return dayOf(found, new Date());
}

function dayOf({ year, month, day, weekday, hour, minute, second, hasCentury }, today) {
  const given = [year, month, day, weekday, hour, minute, second].filter((number) => number !== undefined);
  if (given.length === 0) return null;
  if (given.some((number) => number >= OVERFLOW)) throw new RangeError("processDate: a number is beyond every calendar");
  const wholeYear = year === undefined ? today.getFullYear() : hasCentury ? year : inCentury(year, today.getFullYear());
  const wholeMonth = month ?? today.getMonth() + 1;
  if (wholeYear < 1 || wholeYear > MAX_YEAR || wholeMonth < 1 || wholeMonth > 12) return null;
  if ((hour ?? 0) > 23 || (minute ?? 0) > 59 || (second ?? 0) > 59) return null;
  const lastDay = daysIn(wholeYear, wholeMonth);
  const wholeDay = day ?? Math.min(today.getDate(), lastDay);
  if (wholeDay < 1 || wholeDay > lastDay) return null;
  const result = new Date(0);
  result.setUTCFullYear(wholeYear, wholeMonth - 1, wholeDay);
  // A weekday without a day: the next such day, which may be today.
  if (weekday !== undefined && day === undefined) {
    result.setUTCDate(wholeDay + ((weekday - result.getUTCDay() + 7) % 7));
  }
  return result;
}

function inCentury(year, thisYear) {
  if (year >= 100) return year;
  const near = year + thisYear - (thisYear % 100);
  if (near >= thisYear + CENTURY_WINDOW_YEARS) return near - 100;
  return near < thisYear - CENTURY_WINDOW_YEARS ? near + 100 : near;
}

module.exports = { processDate };
