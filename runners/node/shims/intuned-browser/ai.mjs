// The same instance for ES modules: everything lives in the CommonJS module.

import ai from "./ai.cjs";

export const { AiUnavailableError, extractStructuredData, isPageLoaded } = ai;
