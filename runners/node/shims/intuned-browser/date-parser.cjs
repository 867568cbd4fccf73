"use strict";
// A lenient reader of dates as people write them: numbers in any usual order, names of months and weekdays, a time, a
// zone. What belongs to no date makes the whole text none. Pure.

const { DateParts, NoDate } = require("./date-parts.cjs");
const { halfOf, isFiller, isUtcName, monthOf, tokensOf, unitOf, weekdayOf } = require("./date-words.cjs");

const MAX_ZONE_LETTERS = 5;

/**
 * `{year?, month?, day?, weekday?, hour?, minute?, second?, hasCentury}` as written. Throws NoDate.
 */
function parseDate(text) {
  return new Parser(tokensOf(text)).parse();
}

class Parser {
  #tokens;
  #at = 0;
  #parts = new DateParts();
  #found = {};
  #hasZone = false;

  constructor(tokens) {
    this.#tokens = tokens;
  }

  parse() {
    while (this.#at < this.#tokens.length) {
      const token = this.#tokens[this.#at];
      if (/^\d/.test(token)) this.#number(token);
      else if (!this.#word(token)) throw new NoDate();
      this.#at += 1;
    }
    return { ...this.#found, ...this.#parts.resolve(), hasCentury: this.#parts.hasCentury };
  }

  #peek(offset) {
    return this.#tokens[this.#at + offset];
  }

  /** Take a token that is no number; false when it has no place in a date. */
  #word(token) {
    const weekday = weekdayOf(token);
    if (weekday !== undefined) {
      this.#found.weekday = weekday;
      return true;
    }
    const month = monthOf(token);
    if (month !== undefined) {
      this.#month(month);
      return true;
    }
    const half = halfOf(token);
    if (half !== undefined) {
      // Apart from its hour, `am` needs an hour of the twelve-hour clock before it.
      if (this.#found.hour === undefined || this.#found.hour > 12) throw new NoDate();
      this.#found.hour = inHalf(this.#found.hour, half);
      return true;
    }
    return this.#zone(token) || isFiller(token);
  }

  /** A month's name, with what may hang on it: `Nov-14-2024`, `Nov of 2024`. */
  #month(month) {
    this.#parts.add(String(month), true);
    const separator = this.#peek(1);
    if (separator === "-" || separator === "/") {
      this.#parts.add(this.#digits(2));
      if (this.#peek(3) === separator) {
        this.#parts.add(this.#digits(4));
        this.#at += 2;
      }
      this.#at += 2;
    } else if (this.#isYearOf()) {
      this.#parts.add(this.#peek(4).padStart(4, "0").replace(/^00(?=\d\d$)/, "20"));
      this.#at += 4;
    }
  }

  /** Whether ` of 2024` follows. */
  #isYearOf() {
    const [blank, of, secondBlank, year] = [1, 2, 3, 4].map((offset) => this.#peek(offset));
    return blank === " " && of?.toLowerCase() === "of" && secondBlank === " " && /^\d+$/.test(year ?? "");
  }

  #digits(offset) {
    const token = this.#peek(offset);
    if (token === undefined || !/^\d+$/.test(token)) throw new NoDate();
    return token;
  }

  /** A zone after a time: a name in capitals, or an offset. It is read and means nothing. */
  #zone(token) {
    if (this.#found.hour === undefined) return false;
    if (token === "+" || token === "-") {
      this.#offset();
      this.#hasZone = true;
      return true;
    }
    const isName = token.length <= MAX_ZONE_LETTERS && (/^[A-Z]+$/.test(token) || isUtcName(token));
    if (!isName || this.#hasZone) return false;
    this.#hasZone = true;
    return true;
  }

  #offset() {
    const length = this.#digits(1).length;
    if (length > 4 || length === 3) throw new NoDate();
    this.#at += 1;
    if (length <= 2 && this.#peek(1) === ":") {
      this.#digits(2);
      this.#at += 2;
    }
    // `-0500 (EST)`: the name of the offset.
    const [blank, open, name, close] = [1, 2, 3, 4].map((offset) => this.#peek(offset));
    if (blank === " " && open === "(" && close === ")" && /^[A-Z]{3,5}$/.test(name)) this.#at += 4;
  }

  #number(token) {
    const next = this.#peek(1);
    const { length } = token;
    const isTimeLeft = this.#parts.length === 3 && this.#found.hour === undefined;
    if (isTimeLeft && (length === 2 || length === 4) && next !== ":" && (next === undefined || unitOf(next) === undefined)) {
      this.#time(token.slice(0, 2), token.slice(2) || undefined);
    } else if (length === 6 || (length > 6 && token.indexOf(".") === 6)) {
      this.#sixDigits(token);
    } else if (length === 8 || length === 12 || length === 14) {
      this.#manyDigits(token);
    } else if (this.#unitAfter() !== undefined) {
      this.#withUnit(token);
    } else if (next === ":" && this.#peek(2) !== undefined) {
      this.#clock(token);
    } else if (next === "-" || next === "/" || next === ".") {
      this.#separated(token, next);
    } else if (next === undefined || isFiller(next)) {
      const half = this.#peek(2) === undefined ? undefined : halfOf(this.#peek(2));
      if (half === undefined) this.#parts.add(token);
      else {
        this.#found.hour = inHalf(Number.parseInt(token, 10), half);
        this.#at += 1;
      }
      this.#at += 1;
    } else if (halfOf(next) !== undefined && Number(token) < 24) {
      this.#found.hour = inHalf(Number.parseInt(token, 10), halfOf(next));
      this.#at += 1;
    } else if (this.#parts.couldBeDay(Number(token))) {
      this.#parts.add(token);
    } else {
      throw new NoDate();
    }
  }

  #time(hour, minute, second) {
    this.#found.hour = Number.parseInt(hour, 10);
    if (minute !== undefined) this.#found.minute = Number.parseInt(minute, 10);
    if (second !== undefined) this.#found.second = Number.parseInt(second, 10);
  }

  /** YYMMDD, or HHMMSS once there is a date. */
  #sixDigits(token) {
    const pairs = [token.slice(0, 2), token.slice(2, 4), token.slice(4, 6)];
    if (this.#parts.length > 0 || token.includes(".")) return this.#time(...pairs);
    for (const pair of pairs) this.#parts.add(pair);
    return undefined;
  }

  /** YYYYMMDD[hhmm[ss]]. */
  #manyDigits(token) {
    if (!/^\d+$/.test(token)) throw new NoDate();
    for (const part of [token.slice(0, 4), token.slice(4, 6), token.slice(6, 8)]) this.#parts.add(part);
    if (token.length > 8) this.#time(token.slice(8, 10), token.slice(10, 12), token.slice(12) || undefined);
  }

  /** How many tokens ahead a unit of time stands: directly, or after one blank. */
  #unitAfter() {
    if (this.#peek(1) !== undefined && unitOf(this.#peek(1)) !== undefined) return 1;
    return this.#peek(1) === " " && this.#peek(2) !== undefined && unitOf(this.#peek(2)) !== undefined ? 2 : undefined;
  }

  /** `9h`, `30 minutes`. */
  #withUnit(token) {
    const offset = this.#unitAfter();
    this.#found[unitOf(this.#peek(offset))] = Number.parseInt(token, 10);
    this.#at += offset;
  }

  /** `9:30`, `9:30:05.123`. */
  #clock(token) {
    const number = (offset) => {
      if (!/^\d+(\.\d+)?$/.test(this.#peek(offset) ?? "")) throw new NoDate();
      return this.#peek(offset);
    };
    const hasSeconds = this.#peek(3) === ":" && this.#peek(4) !== undefined;
    this.#time(token, number(2), hasSeconds ? number(4) : undefined);
    this.#at += hasSeconds ? 4 : 2;
  }

  /** Two or three parts with the same separator; a name of a month may stand for its number. */
  #separated(token, separator) {
    this.#parts.add(token);
    const second = this.#peek(2);
    if (second !== undefined && !isFiller(second)) {
      this.#addPart(second);
      if (this.#peek(3) === separator) {
        if (this.#peek(4) === undefined) throw new NoDate();
        this.#addPart(this.#peek(4));
        this.#at += 2;
      }
      this.#at += 1;
    }
    this.#at += 1;
  }

  #addPart(token) {
    const month = monthOf(token);
    if (month !== undefined) this.#parts.add(String(month), true);
    else if (/^\d+(\.\d+)?$/.test(token)) this.#parts.add(token);
    else throw new NoDate();
  }
}

/** The hour in the given half of the day; an hour that says its half itself (13 and up) stays as it is. */
function inHalf(hour, half) {
  return hour > 12 ? hour : (hour % 12) + half;
}

module.exports = { parseDate };
