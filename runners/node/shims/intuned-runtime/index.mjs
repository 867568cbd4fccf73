// The same instance for ES modules: everything lives in the CommonJS modules, so that one import form sees what the
// other set.

import runtime from "./index.cjs";

export const {
  RunError,
  NonRetryableError,
  attemptStore,
  deleteAttribute,
  extendPayload,
  extendTimeout,
  getAiGatewayConfig,
  getAuthSessionParameters,
  getExecutionContext,
  onCaptchaEvent,
  onceCaptchaEvent,
  pauseCaptchaSolver,
  persistentStore,
  resumeCaptchaSolver,
  runInfo,
  sendMessageToAgent,
  setAttribute,
  waitForCaptchaSolve,
  withWaitForCaptchaSolve,
} = runtime;
