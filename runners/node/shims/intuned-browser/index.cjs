"use strict";
// What a project imports as `@intuned/browser`.
//
// One file for each family of helpers. Third-party packages are loaded when the helper that needs one is first called, so
// that a project pays only for what it uses. Nothing here is kept between calls.

module.exports = {
  ...require("./attachment.cjs").publicNames,
  ...require("./clicking.cjs"),
  ...require("./dates.cjs"),
  ...require("./dom.cjs"),
  ...require("./downloads.cjs"),
  ...require("./empties.cjs"),
  ...require("./markdown.cjs"),
  ...require("./navigation.cjs"),
  ...require("./network.cjs").publicNames,
  ...require("./sanitizing.cjs"),
  ...require("./scrolling.cjs"),
  ...require("./uploads.cjs").publicNames,
  ...require("./urls.cjs"),
  ...require("./validation.cjs"),
};
