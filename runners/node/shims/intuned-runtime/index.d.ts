// Types of what a project imports as `@intuned/runtime`.

import type { BrowserContext, Page } from "playwright";

export interface Payload {
  api: string;
  parameters: Record<string, any>;
}

/** Ask for further payloads of this job run; carried out after this one succeeded. Also starts the time anew. */
export declare function extendPayload(payload: Payload | Payload[]): void;

/** Start the attempt's time anew. */
export declare function extendTimeout(): void;

/** Any object, for the life of this attempt. */
export declare const attemptStore: {
  get<T = any>(key: string): T;
  set(key: string, value: any): void;
};

/** JSON values, kept across the runs of the project. A key has at least one character and no `:` or `#`. */
export declare const persistentStore: {
  get<T = any>(key: string): Promise<T>;
  set(key: string, value: any): Promise<void>;
};

/** The parameters the AuthSession was created with. Rejects when the run has none that are kept. */
export declare function getAuthSessionParameters<T = any>(): Promise<T>;

export interface ExecutionContext {
  runId?: string;
  jobId?: string;
  jobRunId?: string;
  authSessionId?: string;
  attemptNumber?: number;
  apiName?: string;
  workspaceId?: string;
  projectName?: string;
}

/** Who the run is; undefined outside of one. */
export declare function getExecutionContext(): ExecutionContext | undefined;

export declare function runInfo(): { runEnvironment: "IDE" | "DEPLOYED"; runId?: string };

export interface RunErrorOptions {
  /** false: no other attempt is made. */
  retryable?: boolean;
  cause?: unknown;
}

export declare class RunError extends Error {
  readonly retryable: boolean;
  constructor(message: string, options?: RunErrorOptions);
}

/** A failure after which no other attempt is made. */
export declare class NonRetryableError extends RunError {
  constructor(message: string, options?: Omit<RunErrorOptions, "retryable">);
}

/** Where a language model can be reached; both are empty where there is no such gateway. */
export declare function getAiGatewayConfig(): Promise<{ baseUrl: string; apiKey: string }>;

export type AttributeValue = string | number | boolean | Date | string[];
export declare function setAttribute(key: string, value: AttributeValue): void;
export declare function deleteAttribute(key: string): void;

export interface AgentMessage {
  dedupKey: string;
  message: string;
  additionalContext?: Record<string, any>;
  agentSessionOptions?: { model?: "sonnet" | "opus" | "haiku"; agentConfig?: { merge?: boolean; deploy?: boolean } };
}
export declare function sendMessageToAgent(message: AgentMessage): void;

export type CaptchaStatus = "attached" | "solving" | "solved" | "error" | "detached";

export interface Captcha {
  id: string;
  tabId: number;
  type: string;
  status: CaptchaStatus;
  attempts: number;
  error?: { code: string; error?: string };
  message?: string;
}

export interface CaptchaWaitOptions {
  /** Default 10000. */
  timeoutInMs?: number;
  /** Default 5000. */
  settleDurationMs?: number;
}

export declare function waitForCaptchaSolve(page: Page, options?: CaptchaWaitOptions): Promise<void>;
export declare function withWaitForCaptchaSolve<T>(
  callback: (page: Page) => Promise<T>,
  options: CaptchaWaitOptions & { page: Page; waitForNetworkSettled?: boolean },
): Promise<T>;
export declare function onCaptchaEvent(page: Page, status: CaptchaStatus, listener: (captcha: Captcha) => unknown): Promise<void>;
export declare function onceCaptchaEvent(page: Page, status: CaptchaStatus, listener: (captcha: Captcha) => unknown): Promise<void>;
export declare function pauseCaptchaSolver(context: BrowserContext): Promise<void>;
export declare function resumeCaptchaSolver(context: BrowserContext): Promise<void>;
