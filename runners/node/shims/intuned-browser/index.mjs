// The same instance for ES modules: everything lives in the CommonJS modules.

import browser from "./index.cjs";

export const {
  AttachmentType,
  ValidationError,
  clickUntilExhausted,
  downloadFile,
  extractMarkdown,
  filterEmptyValues,
  goToUrl,
  processDate,
  resolveUrl,
  sanitizeHtml,
  saveFileToS3,
  scrollToLoadContent,
  uploadFileToS3,
  validateDataUsingSchema,
  waitForDomSettled,
  withNetworkSettledWait,
} = browser;
