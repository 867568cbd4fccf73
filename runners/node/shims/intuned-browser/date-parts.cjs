"use strict";
// Which of the numbers of a date is the year, the month and the day. Pure.
//
// Month first where the order is ambiguous; a number that cannot be a month or a day decides otherwise.

/** The text is no date. */
class NoDate extends Error {}

const daysIn = (year, month) => new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();

/** The numbers collected so far, at most three, with what is already known about them. */
class DateParts {
  #numbers = [];
  #yearAt;
  #monthAt;
  hasCentury = false;

  get length() {
    return this.#numbers.length;
  }

  /** Take digits as they are written, or a month (`isMonth`). */
  add(written, isMonth = false) {
    const number = Math.trunc(Number(written));
    if (!Number.isFinite(number)) throw new NoDate();
    const isYear = !isMonth && (/^\d{3,}$/.test(written) || number > 100);
    if (isYear) {
      if (this.#yearAt !== undefined) throw new NoDate();
      this.hasCentury = true;
      this.#yearAt = this.#numbers.length;
    }
    if (isMonth) {
      if (this.#monthAt !== undefined) throw new NoDate();
      this.#monthAt = this.#numbers.length;
    }
    this.#numbers.push(number);
    if (this.#numbers.length > 3) throw new NoDate();
  }

  /** Whether a number that stands alone may be the day. */
  couldBeDay(number) {
    if (this.#monthAt === undefined) return number >= 1 && number <= 31;
    const month = this.#numbers[this.#monthAt];
    const year = this.#yearAt === undefined ? 2000 : this.#numbers[this.#yearAt];
    return number >= 1 && number <= daysIn(year, month);
  }

  /** `{year?, month?, day?}`. */
  resolve() {
    const numbers = this.#numbers;
    switch (numbers.length) {
      case 0:
        return {};
      case 1:
        return this.#one(numbers[0]);
      case 2:
        return this.#two(numbers);
      default:
        return this.#three(numbers);
    }
  }

  #one(number) {
    if (this.#monthAt === 0) return { month: number };
    return this.#yearAt === 0 || number > 31 ? { year: number } : { day: number };
  }

  #two([first, second]) {
    if (this.#monthAt !== undefined) {
      const [month, other] = this.#monthAt === 0 ? [first, second] : [second, first];
      const isYear = this.#yearAt !== undefined || other > 31;
      return isYear ? { month, year: other } : { month, day: other };
    }
    if (first > 31) return { year: first, month: second };
    if (second > 31) return { month: first, year: second };
    return { month: first, day: second };
  }

  #three([first, second, third]) {
    const order = this.#orderOfThree(first, second);
    const numbers = [first, second, third];
    return Object.fromEntries(order.map((name, index) => [name, numbers[index]]));
  }

  #orderOfThree(first, second) {
    const known = { year: this.#yearAt, month: this.#monthAt };
    if (known.year !== undefined && known.month !== undefined) {
      const order = [];
      for (const [name, at] of Object.entries(known)) order[at] = name;
      order[[0, 1, 2].find((index) => order[index] === undefined)] = "day";
      return order;
    }
    switch (known.month) {
      case 0:
        return second > 31 ? ["month", "year", "day"] : ["month", "day", "year"];
      case 1:
        return first > 31 ? ["year", "month", "day"] : ["day", "month", "year"];
      case 2:
        return second > 31 ? ["day", "year", "month"] : ["year", "day", "month"];
      default:
        break;
    }
    if (first > 31 || known.year === 0) return ["year", "month", "day"];
    return first > 12 ? ["day", "month", "year"] : ["month", "day", "year"];
  }
}

module.exports = { DateParts, NoDate, daysIn };
