// Types of what a project imports as `@intuned/browser`.

import type { Download, ElementHandle, Locator, Page } from "playwright";
import type { Readable } from "node:stream";

export type { ContentItem, ImageBufferContentItem, ImageUrlContentItem, TextContentItem } from "./ai";

export interface GoToUrlOptions {
  /** The first try's time; each further try has twice as much. Default 30000. */
  timeoutInMs?: number;
  /** Tries in all. Default 3. */
  retries?: number;
  /** Reject when every try has failed, whatever the reason. Default false. */
  throwOnTimeout?: boolean;
  waitForLoadState?: "commit" | "domcontentloaded" | "load" | "networkidle";
  /** Has no effect but a warning: this version has no AI gateway. */
  waitForLoadingStateUsingAi?: boolean;
  model?: string;
  apiKey?: string;
}

/** Navigate to an absolute url with several tries, then wait for the network to settle. */
export declare function goToUrl(options: GoToUrlOptions & { page: Page; url: string }): Promise<void>;
export declare function goToUrl(page: Page, url: string, options?: GoToUrlOptions): Promise<void>;

/** Call the function, wait until the page's requests have been answered, return what the function returned. */
export declare function withNetworkSettledWait<T>(
  callback: (page: Page) => T | Promise<T>,
  options?: { page: Page; timeoutInMs?: number; maxInflightRequests?: number },
): Promise<T>;

/** True once nothing has changed for `settleDurationMs` (500); false when that did not happen in `timeoutInMs` (30000). */
export declare function waitForDomSettled(options: {
  source: Page | Locator;
  settleDurationMs?: number;
  timeoutInMs?: number;
}): Promise<boolean>;

/** An absolute url. A page stands for the root of its site; a locator must be an `<a>`. */
export declare function resolveUrl(options: { url: string; baseUrl: string }): Promise<string>;
export declare function resolveUrl(options: { url: string; page: Page }): Promise<string>;
export declare function resolveUrl(options: { url: Locator }): Promise<string>;

/** Scroll to the end until the height grows by less than `minHeightChange` (100), at most `maxScrolls` (50) times. */
export declare function scrollToLoadContent(options: {
  source: Page | Locator;
  onScrollProgress?: CallableFunction;
  maxScrolls?: number;
  delayInMs?: number;
  minHeightChange?: number;
}): Promise<void>;

/** Click a "load more" button until it is gone, disabled or brings nothing new, at most `maxClicks` (50) times. */
export declare function clickUntilExhausted(options: {
  page: Page;
  buttonLocator: Locator;
  heartbeat?: CallableFunction;
  containerLocator?: Locator;
  maxClicks?: number;
  /** Seconds when below 100, else milliseconds. Default 0.5. */
  clickDelay?: number;
  noChangeThreshold?: number;
}): Promise<void>;

/** A page's body, or the one element that a locator matches, as markdown. */
export declare function extractMarkdown(options: { source: Page | Locator }): Promise<string>;

/** HTML made smaller for reading. Not a protection against hostile HTML. */
export declare function sanitizeHtml(options: {
  html: string;
  removeScripts?: boolean;
  removeStyles?: boolean;
  removeSvgs?: boolean;
  removeComments?: boolean;
  removeLongAttributes?: boolean;
  maxAttributeLength?: number;
  preserveAttributes?: string[] | null;
  removeEmptyTags?: boolean;
  preserveEmptyTags?: string[] | null;
  minifyWhitespace?: boolean;
}): string;

/** Midnight in UTC of the day as written; null when the text is no date. */
export declare function processDate(options: { date: string }): Date | null;

/** Data without null, undefined, blank text, empty arrays and empty objects, at every depth. */
export declare function filterEmptyValues<T>(options: { data: T }): T;

/** Throws ValidationError unless the data fits the JSON Schema (draft 7, with the additional type `attachment`). */
export declare function validateDataUsingSchema(options: {
  data: Record<string, any> | Record<string, any>[];
  schema: Record<string, any>;
}): void;

export declare class ValidationError extends Error {
  constructor(message: string, data: any);
  /** The data as plain records. */
  readonly data: any;
}

export type Trigger = string | Locator | ElementHandle | ((page: Page) => void | Promise<void>);
export type FileType = Download | Uint8Array | ArrayBuffer | Readable;
export type AttachmentType = "document";
export declare const AttachmentType: { readonly DOCUMENT: "document" };

/** The first download of the page after the trigger. Rejects with Playwright's TimeoutError. */
export declare function downloadFile(options: { page: Page; trigger: Trigger; timeoutInMs?: number }): Promise<Download>;

/** A bucket and the key to it; what is absent is taken from AWS_… and INTUNED_S3_… of the environment. */
export interface S3Configs {
  bucket?: string;
  region?: string;
  accessKeyId?: string;
  secretAccessKey?: string;
  endpoint?: string;
}

/** A stored file, as results carry it. */
export interface Attachment {
  fileName: string;
  key: string;
  suggestedFileName: string;
  fileType?: AttachmentType | null;
  bucket?: string;
  region?: string;
  endpoint?: string | null;
  /** Only of files in the platform's own store. */
  signedUrl?: string;
  getSignedUrl(expiration?: number): Promise<string>;
  getS3Key(): string;
  getFilePath(): string;
  toDict(): Record<string, any>;
  toJSON(): Record<string, any>;
}

interface UploadOptions {
  configs?: S3Configs;
  fileNameOverride?: string;
  contentType?: string;
}

/** Store a file in S3 when there is a bucket and a region, else in the platform's own store. */
export declare function uploadFileToS3(options: UploadOptions & { file: FileType }): Promise<Attachment>;

/** downloadFile, then uploadFileToS3. */
export declare function saveFileToS3(
  options: UploadOptions & { page: Page; trigger: Trigger; timeoutInMs?: number },
): Promise<Attachment>;
