// The life of the process: which message is legal when, and what it starts.
//
// Replies and aborts reach the attempt at once; everything else is handled one after the other, in order. A message out
// of order, malformed or of unknown type ends the process with code 70.

import process from "node:process";
import { Attempt } from "./attempt.mjs";
import { BrowserHost } from "./browser.mjs";
import { within } from "./deadline.mjs";
import { Project } from "./entries.mjs";
import { messageOf } from "./failure.mjs";
import { inspectProject } from "./inspection.mjs";
import { playwright, playwrightVersion } from "./playwright.mjs";
import { Exit, PROTOCOL_VERSION, ProtocolError, cutText } from "./protocol.mjs";

const CLOSE_BROWSER_WITHIN_MS = 1000;
const MAX_MESSAGE_BYTES = 16 * 1024;

export class Runner {
  #link;
  #lifeline;
  #turn = Promise.resolve();
  #host;
  #project;
  #attempt;
  #isAfterLogin = false;

  constructor(link, lifeline) {
    this.#link = link;
    this.#lifeline = lifeline;
  }

  /** Say hello and serve until `shutdown`. */
  serve() {
    process.on("uncaughtException", (error) => this.#uncaught(error));
    process.on("unhandledRejection", (reason) => this.#unhandled(reason));
    this.#link.start((message) => this.#receive(message));
    this.#link.send({
      type: "hello",
      protocol: PROTOCOL_VERSION,
      language: "node",
      languageVersion: process.versions.node,
      playwrightVersion,
      pid: process.pid,
    });
  }

  #receive(message) {
    if (message.type === "reply" || message.type === "abort") {
      // A late one, for an attempt that is over, is nothing.
      if (message.attemptId !== this.#attempt?.id) return;
      if (message.type === "reply") this.#attempt.answer(message);
      else this.#attempt.abort();
      return;
    }
    this.#turn = this.#turn.then(() => this.#handle(message)).catch((error) => {
      if (error instanceof ProtocolError) return this.#link.refuse(error);
      process._rawDebug(`keywright runner: ${error.stack ?? error}`);
      return this.#lifeline.leave(Exit.OTHER);
    });
  }

  async #handle(message) {
    switch (message.type) {
      case "warm":
        return this.#warm(message);
      case "bind":
        return this.#bind(message);
      case "start":
        return this.#begin(message);
      case "shutdown":
        return this.#shutDown();
      case "inspect":
        return this.#inspect(message);
      default:
        throw new ProtocolError(`unknown message type ${JSON.stringify(message.type)}`);
    }
  }

  async #warm({ browser }) {
    if (this.#host !== undefined) throw new ProtocolError("warm was sent twice");
    const isWhole = browser !== null && typeof browser === "object" && typeof browser.executablePath === "string";
    if (!isWhole || !isSize(browser)) throw new ProtocolError("a warm message is malformed");
    try {
      this.#host = await BrowserHost.launch(playwright, browser);
    } catch (error) {
      this.#link.send({ type: "failed", stage: "warm", message: cutText(messageOf(error), MAX_MESSAGE_BYTES) });
      return this.#lifeline.leave(Exit.NO_BROWSER);
    }
    const { version, userAgent, cdpUrl } = this.#host;
    this.#link.send({ type: "ready", browserVersion: version, userAgent, cdpUrl });
    this.#host.prepare();
  }

  #bind({ root, env = {} }) {
    if (this.#project !== undefined) throw new ProtocolError("bind was sent twice");
    const isWhole = typeof root === "string" && env !== null && typeof env === "object";
    if (!isWhole || !Object.values(env).every((value) => typeof value === "string")) {
      throw new ProtocolError("a bind message is malformed");
    }
    Object.assign(process.env, env);
    this.#project = new Project(root);
    this.#link.send({ type: "bound" });
  }

  #begin(message) {
    if (this.#host === undefined || this.#project === undefined) throw new ProtocolError("start was sent before warm and bind");
    if (this.#attempt !== undefined) throw new ProtocolError("start was sent while an attempt was running");
    checkStart(message);
    const attempt = new Attempt(message, this.#link, this.#host, this.#project, this.#isAfterLogin);
    this.#attempt = attempt;
    // Not awaited: messages are handled while it runs.
    attempt.run().then(
      (isReusable) => {
        this.#attempt = undefined;
        this.#isAfterLogin = attempt.isLogin;
        if (isReusable) this.#host.rest(attempt.expected);
      },
      (error) => {
        process._rawDebug(`keywright runner: ${error.stack ?? error}`);
        this.#lifeline.leave(Exit.OTHER);
      },
    );
  }

  async #shutDown() {
    // What does not close in time, the watchdog kills.
    if (this.#host !== undefined) await within(CLOSE_BROWSER_WITHIN_MS, this.#host.close()).catch(() => {});
    return this.#lifeline.leave(Exit.ORDERLY);
  }

  async #inspect({ root, apis, authSessions }) {
    if (typeof root !== "string" || !Array.isArray(apis) || !apis.every((name) => typeof name === "string")) {
      throw new ProtocolError("an inspect message is malformed");
    }
    const { problems, warnings } = await inspectProject(root, apis, Boolean(authSessions));
    this.#link.send({ type: "inspected", problems, warnings });
    return this.#lifeline.leave(Exit.ORDERLY);
  }

  #uncaught(error) {
    if (this.#attempt !== undefined) return this.#attempt.crash(error);
    process._rawDebug(`keywright runner: uncaught: ${error?.stack ?? error}`);
    return this.#lifeline.leave(Exit.OTHER);
  }

  #unhandled(reason) {
    if (this.#attempt !== undefined) return this.#attempt.rejected(reason);
    // Most often a Playwright call that was still open when its context was closed.
    return process._rawDebug(`keywright runner: unhandled rejection: ${messageOf(reason)}`);
  }
}

function isSize({ width, height }) {
  return Number.isInteger(width) && Number.isInteger(height);
}

function checkStart({ attemptId, function: name, viewport }) {
  const isWhole = typeof attemptId === "string" && typeof name === "string" && (viewport == null || isSize(viewport));
  if (!isWhole) throw new ProtocolError("a start message is malformed");
}
