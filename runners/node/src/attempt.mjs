// One attempt, from `start` to `idle`.
//
// Order: context, state, trace; `running`; hook; function; trace complete; state captured; payloads; `done`; everything
// the user left behind is closed; `idle`. What fails before `running` is the platform's fault (`slot-failed`), everything
// after it the user's. An abort closes the context, so that pending Playwright calls reject, and no longer waits for user
// code. An exception that nobody caught ends the attempt as the user's error; `process.exit` ends the process.
// If the process dies, the worker sees EOF and no `done`.

import { Calls } from "./calls.mjs";
import { AttemptLog, pageLevel } from "./console.mjs";
import { within } from "./deadline.mjs";
import { AttemptFailed, messageOf, ofFailure, ofUser, stackOf } from "./failure.mjs";
import { runHook } from "./hook.mjs";
import { Leftovers } from "./leftovers.mjs";
import { InvalidOutput, toPlain } from "./output.mjs";
import * as payloads from "./payloads.mjs";
import { Code, cutText } from "./protocol.mjs";
import * as scope from "./scope.mjs";
import { StateKeeper } from "./state.mjs";
import { Trace } from "./trace.mjs";

const MAX_RESULT_BYTES = 2 * 1024 * 1024;
const MAX_REASON_BYTES = 4096;
const CLOSE_WITHIN_MS = 5000;
const TRACE_WITHIN_MS = 60_000;
/** After an abort `done` is due within 2 s, with the trace if it can be had quickly. */
const ABORT_TRACE_WITHIN_MS = 700;
const ABORT_CLOSE_WITHIN_MS = 1000;
const CHECK = "auth-sessions/check";

export class Attempt {
  #start;
  #link;
  #host;
  #project;
  #log;
  #calls;
  #scope;
  #trace;
  #keeper;
  #seat;
  #hook = {};
  #expected;
  #isAfterLogin;
  #leftovers = new Leftovers();
  #isAborted = false;
  #hasCrashed = false;
  #interrupt;
  #interrupted;

  constructor(start, link, host, project, isAfterLogin) {
    this.id = start.attemptId;
    this.#start = start;
    this.#link = link;
    this.#host = host;
    this.#project = project;
    this.#isAfterLogin = isAfterLogin;
    this.#expected = start.session ?? null;
    this.#log = new AttemptLog(link, this.id);
    this.#calls = new Calls(link, this.id);
    this.#trace = new Trace(start.trace, this.#log);
    this.#scope = new scope.Scope({
      context: start.context ?? {},
      authParameters: start.authParameters,
      calls: this.#calls,
      log: this.#log,
      sendExtend: () => link.send({ type: "extend", attemptId: this.id }),
      slotDir: process.env.KEYWRIGHT_SLOT_DIR,
    });
    this.#interrupted = new Promise((_, reject) => {
      this.#interrupt = reject;
    });
    this.#interrupted.catch(() => {}); // it may come when nobody waits any more
  }

  /** Take a `reply` of the worker. */
  answer(reply) {
    this.#calls.answer(reply);
  }

  /** End it, because the worker says so. */
  abort() {
    this.#isAborted = true;
    this.#interrupt(new AttemptFailed(Code.ABORTED, "the attempt was aborted"));
  }

  /** End it, because user code threw where nobody could catch it. */
  crash(thrown) {
    this.#hasCrashed = true;
    this.#log.line("stderr", "error", `uncaught: ${stackOf(thrown, this.#project.root)}`);
    this.#interrupt(thrown);
  }

  /** User code left a promise without a handler, and it was rejected. The function's own end still decides. */
  rejected(reason) {
    this.#log.line("stderr", "error", `unhandled rejection: ${stackOf(reason, this.#project.root)}`);
  }

  /** Whether it makes a new login. */
  get isLogin() {
    return Boolean(this.#start.captureSession);
  }

  /** The state that the next attempt of this slot will most likely be started with. */
  get expected() {
    return this.#expected;
  }

  /** Run it to `idle`; whether the slot may take another start. */
  async run() {
    let outcome;
    try {
      outcome = await Promise.race([this.#work(), this.#interrupted]);
    } catch (thrown) {
      outcome = { error: thrown instanceof AttemptFailed ? ofFailure(thrown) : ofUser(thrown, this.#project.root) };
    }
    // The trace of a failed attempt is the one that will be looked at.
    await this.#trace.stop(this.#isAborted ? ABORT_TRACE_WITHIN_MS : TRACE_WITHIN_MS);
    if (this.#isAborted) await this.#closeContexts(ABORT_CLOSE_WITHIN_MS);
    this.#finish(outcome);
    scope.leave(this.#scope);
    const reason = await this.#cleanUp();
    this.#link.send({
      type: "idle",
      attemptId: this.id,
      reusable: reason === undefined,
      ...(reason === undefined ? {} : { reason: cutText(reason, MAX_REASON_BYTES) }),
    });
    return reason === undefined;
  }

  /** The outcome of an attempt that nothing interrupts. */
  async #work() {
    try {
      await this.#setTheStage();
    } catch (error) {
      throw new AttemptFailed(Code.SLOT_FAILED, `the browser failed: ${messageOf(error)}`, error);
    }
    // An abort that came meanwhile was answered; user code must not begin after it.
    if (this.#isAborted) return undefined;
    // What follows in the same slot follows at once: the check after a login, the work after a check. Most often nothing
    // follows the check of a new login, and it is waited for: it has the browser alone.
    if (this.isLogin) this.#host.prepare();
    else if (this.#start.function === CHECK && !this.#isAfterLogin) this.#host.prepareWith(this.#expected);
    const result = await scope.enter(this.#scope, () => this.#userPart());
    return this.#harvest(result);
  }

  async #setTheStage() {
    this.#seat = await this.#host.take(this.#options(), this.#start.session ?? null);
    const { context, keeper } = this.#seat;
    this.#keeper = keeper;
    keeper.watch();
    this.#warn(keeper);
    await this.#trace.start(context);
    this.#listen(context);
  }

  /** Everything of the user's: imports, the hook, the function. */
  async #userPart() {
    this.#leftovers.remember();
    this.#link.send({ type: "running", attemptId: this.id });
    const { function: name, parameters } = this.#start;
    let { context, page } = this.#seat;
    const hook = await this.#project.hook();
    if (hook !== undefined) {
      this.#hook = await runHook(hook, this.#host.cdpUrl, name, parameters);
      if (this.#hook.context !== undefined && this.#hook.context !== context) {
        context = this.#hook.context;
        await this.#moveTo(context);
      }
      page = this.#hook.page ?? page;
    }
    try {
      const entry = await this.#project.entry(name);
      return await (name === CHECK ? entry(page, context) : entry(parameters, page, context));
    } finally {
      await this.#hook.cleanup?.();
    }
  }

  /** State and trace go with the context that the hook brought. */
  async #moveTo(context) {
    this.#keeper = new StateKeeper(context);
    await this.#keeper.restore(this.#start.session, this.#hook.page);
    this.#keeper.watch();
    this.#warn(this.#keeper);
    await this.#trace.move(context);
    this.#listen(context);
  }

  #listen(context) {
    context.on("console", (message) => {
      for (const line of message.text().split("\n")) this.#log.line("page", pageLevel(message.type()), line);
    });
    context.on("weberror", (event) => this.#log.line("page", "error", `uncaught: ${messageOf(event.error())}`));
  }

  /** The outcome of a function that returned. */
  async #harvest(returned) {
    let result;
    let items;
    try {
      result = toPlain(returned);
      items = payloads.toItems(this.#scope.extendedPayloads);
    } catch (error) {
      if (!(error instanceof InvalidOutput)) throw error;
      throw new AttemptFailed(Code.INVALID_OUTPUT, error.message);
    }
    const bytes = Buffer.byteLength(JSON.stringify(result));
    const limit = this.#start.maxResultBytes ?? MAX_RESULT_BYTES;
    if (bytes > limit) throw new AttemptFailed(Code.RESULT_TOO_BIG, `the result has ${bytes} bytes, the limit is ${limit}`);
    // First the trace, so that it ends with the user's last step and not with ours.
    await this.#trace.stop(TRACE_WITHIN_MS);
    const session = this.#start.captureSession ? await this.#capture() : undefined;
    if (session !== undefined) {
      this.#expected = session;
      this.#host.prepareWith(session);
    } else if (this.#start.function === CHECK && result !== true) {
      this.#expected = null; // the login is dead: it is made anew, in a blank page
      this.#host.rest(null);
    }
    return { result, items, session };
  }

  async #capture() {
    try {
      const state = await this.#keeper.capture();
      this.#warn(this.#keeper);
      return state;
    } catch (error) {
      throw new AttemptFailed(Code.CAPTURE_FAILED, `the state could not be captured: ${messageOf(error)}`, error);
    }
  }

  #warn(keeper) {
    for (const warning of keeper.takeWarnings()) this.#log.line("stderr", "warn", warning);
  }

  /** Send payloads and `done`; nothing of this attempt but `idle` follows. */
  #finish({ error, result, items, session }) {
    this.#calls.close();
    this.#log.close();
    const common = { type: "done", attemptId: this.id, attributes: this.#scope.attributes.toJSON() };
    if (error !== undefined) {
      this.#link.send({ ...common, ok: false, error });
      return;
    }
    for (const frame of payloads.toFrames(this.id, items)) this.#link.send(frame);
    try {
      this.#link.send({ ...common, ok: true, result, session });
    } catch (cause) {
      // The result fits and is clean, so it is the state that does not or is not.
      const failed = new AttemptFailed(Code.CAPTURE_FAILED, `the captured state cannot be sent: ${cause.message}`);
      this.#link.send({ ...common, ok: false, error: ofFailure(failed) });
    }
  }

  /** Close what the attempt opened; the reason why the slot must not be used again, if there is one. */
  async #cleanUp() {
    const isClosed = await this.#closeContexts(CLOSE_WITHIN_MS);
    if (this.#isAborted) return "the attempt was aborted";
    if (this.#hasCrashed) return "an exception of the user's was not caught";
    if (!isClosed) return "a context could not be closed";
    if (!this.#host.isConnected) return "the browser is gone";
    return this.#leftovers.clear(this.#scope, this.#host.pid);
  }

  async #closeContexts(limitMs) {
    const contexts = await this.#host.contextsInUse();
    if (this.#hook.context !== undefined && !contexts.includes(this.#hook.context)) contexts.push(this.#hook.context);
    const ends = await Promise.allSettled(contexts.map((context) => within(limitMs, context.close())));
    return ends.every(({ status }) => status === "fulfilled");
  }

  #options() {
    const { viewport, ignoreHttpsErrors = false, timezone, locale, proxy } = this.#start;
    const { width, height } = viewport ?? this.#host.defaults;
    return { width, height, ignoreHttpsErrors, timezone, locale, proxy };
  }
}
