"use strict";
// What a project imports as `@intuned/runtime`.
//
// The names and signatures are those that projects of the platform use; the work is done by the attempt the code runs
// in. Outside of an attempt, what needs one throws.

module.exports = {
  ...require("./errors.cjs"),
  ...require("./job.cjs"),
  ...require("./stores.cjs"),
  ...require("./session.cjs"),
  ...require("./captcha.cjs"),
};
