// Types of what a project imports as `@intuned/browser/ai`. The functions reject: this version has no AI gateway.

import type { Locator, Page } from "playwright";

export type JsonSchema = Record<string, any>;

type ImageType = "png" | "jpeg" | "gif" | "webp";

export interface TextContentItem {
  type: "text";
  data: string;
}

export interface ImageBufferContentItem {
  type: "image-buffer";
  image_type?: ImageType;
  imageType?: ImageType;
  data: Uint8Array;
}

export interface ImageUrlContentItem {
  type: "image-url";
  image_type?: ImageType;
  imageType?: ImageType;
  data: string;
}

export type ContentItem = TextContentItem | ImageBufferContentItem | ImageUrlContentItem;

export declare class AiUnavailableError extends Error {}

export declare function extractStructuredData(options: {
  source?: Page | Locator;
  content?: ContentItem | ContentItem[];
  dataSchema: JsonSchema | object;
  prompt?: string;
  strategy?: "HTML" | "IMAGE" | "MARKDOWN";
  enableDomMatching?: boolean;
  enableCache?: boolean;
  maxRetries?: number;
  model?: string;
  apiKey?: string;
}): Promise<any>;

export declare function isPageLoaded(options: {
  page: Page;
  timeoutInMs?: number;
  model?: string;
  apiKey?: string;
}): Promise<boolean>;
