// Runs in the page: an element as markdown.
//
// One converter for both languages, so that they cannot differ. It reads the live DOM and changes nothing; what is
// hidden by styles is included, what is no content (scripts, styles, head, comments) is left out. Form values are not
// included. The markdown of nested frames is made frame by frame by the caller and merged in here.
//
// Evaluated with (element, [{frame: iframe element, markdown: text}]). Ends with one newline, or is empty.
// The file is one function expression and must stay one.
(root, frames) => {
  const DROPPED = new Set(["script", "style", "noscript", "head", "template", "iframe", "frame", "object", "embed"]);
  const BLOCKS = new Set(
    ("address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer form " +
      "frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre search section summary table " +
      "tbody tfoot thead tr td th caption ul").split(" "),
  );
  const RULE = "_".repeat(70);
  // A character of the private use area stands for <br> until the white space around it has been collapsed.
  const BREAK = "\ue000";
  const frameText = new Map(frames.map(({ frame, markdown }) => [frame, markdown]));

  const nameOf = (node) => node.localName.toLowerCase();
  const isElement = (node) => node.nodeType === Node.ELEMENT_NODE;
  const isFrame = (node) => isElement(node) && frameText.has(node);
  const isDropped = (node) => isElement(node) && DROPPED.has(nameOf(node)) && !isFrame(node);
  const isBlock = (node) => isElement(node) && (BLOCKS.has(nameOf(node)) || isFrame(node));
  const holdsBlock = (node) => [...node.childNodes].some((child) => isBlock(child) || (isElement(child) && holdsBlock(child)));

  // ---- Inline text

  const escapeText = (text) =>
    text
      .replaceAll(BREAK, "")
      .replace(/[\\`*[\]]/g, "\\$&")
      .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, "\\_")
      .replace(/<(?=[a-zA-Z/!?])/g, "\\<");

  const escapeLineStart = (line) =>
    line
      .replace(/^(#{1,6}(?=\s|$)|[-+](?=\s|$)|>|~{3,}|(?:-{2,}|=+)\s*$)/, "\\$1")
      .replace(/^(\d{1,9})([.)])(?=\s|$)/, "$1\\$2");

  const collapse = (text) => text.replace(/[\s\u00a0]+/g, " ");

  const around = (marker, close, text) => {
    const [, before, inner, after] = /^(\s*)([^]*?)(\s*)$/.exec(text);
    return inner ? before + marker + inner + close + after : text;
  };

  const codeSpan = (text) => {
    const content = collapse(text).trim();
    if (!content) return "";
    const longest = Math.max(0, ...[...content.matchAll(/`+/g)].map(([run]) => run.length));
    const fence = "`".repeat(longest + 1);
    const pad = content.startsWith("`") || content.endsWith("`") ? " " : "";
    return fence + pad + content + pad + fence;
  };

  const destination = (url) => (/[\s()<>]/.test(url) ? `<${url.replace(/[<>\n]/g, encodeURIComponent)}>` : url);

  const link = (element, within) => {
    const text = inlineChildren(element, within);
    const href = (element.getAttribute("href") ?? "").trim();
    if (!href || href.startsWith("#") || !collapse(text).trim()) return text;
    if (/^[a-z][a-z0-9+.-]*:[^\s<>]*$/i.test(href) && element.textContent.trim() === href) return `<${href}>`;
    const [, before, inner, after] = /^(\s*)([^]*?)(\s*)$/.exec(text);
    return `${before}[${inner}](${destination(href)})${after}`;
  };

  const image = (element) => {
    const source = (element.getAttribute("src") ?? "").trim();
    return source ? `![${escapeText(element.getAttribute("alt") ?? "")}](${destination(source)})` : "";
  };

  const inline = (node, within) => {
    if (node.nodeType === Node.TEXT_NODE) return escapeText(node.data);
    if (!isElement(node) || isDropped(node)) return "";
    if (isFrame(node)) return ` ${frameText.get(node)} `;
    switch (nameOf(node)) {
      case "br":
        return BREAK;
      case "b":
      case "strong":
        return within.strong
          ? inlineChildren(node, within)
          : around("**", "**", inlineChildren(node, { ...within, strong: true }));
      case "i":
      case "em":
      case "u":
        return within.emphasis
          ? inlineChildren(node, within)
          : around("_", "_", inlineChildren(node, { ...within, emphasis: true }));
      case "code":
      case "tt":
        return codeSpan(node.textContent);
      case "del":
      case "s":
      case "strike":
        return around(`<${nameOf(node)}>`, `</${nameOf(node)}>`, inlineChildren(node, within));
      case "a":
        return link(node, within);
      case "img":
        return image(node);
      default:
        return isBlock(node) ? ` ${inlineChildren(node, within)} ` : inlineChildren(node, within);
    }
  };

  const inlineChildren = (node, within) => [...node.childNodes].map((child) => inline(child, within)).join("");

  const paragraph = (run) =>
    collapse(run)
      .trim()
      .replace(new RegExp(`^(?: *${BREAK} *)+|(?: *${BREAK} *)+$`, "g"), "")
      .split(new RegExp(` *${BREAK} *`))
      .map(escapeLineStart)
      .join("\\\n");

  const oneLine = (element) => collapse(inlineChildren(element, {}).replaceAll(BREAK, " ")).trim();

  // ---- Blocks: {text, isList}

  const block = (text, isList = false) => (text ? [{ text, isList }] : []);
  const indent = (text, width) => text.replace(/\n(?=[^\n])/g, `\n${" ".repeat(width)}`);

  const fenced = (element) => {
    const text = element.textContent.replace(/^\n/, "").replace(/\n$/, "");
    const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
    const fence = "`".repeat(longest + 1);
    return block(`${fence}\n${text}\n${fence}`);
  };

  const quote = (element) => {
    const text = flow(element.childNodes)
      .map((part) => part.text)
      .join("\n\n");
    return block(text.replace(/^(?=[^\n])/gm, "> ").replace(/^$/gm, text ? ">" : ""));
  };

  const item = (marker, nodes) => {
    const parts = flow(nodes);
    let text = "";
    for (const [index, part] of parts.entries()) text += (index === 0 ? "" : part.isList ? "\n" : "\n\n") + part.text;
    return {
      text: text ? `${marker} ${indent(text, marker.length + 1)}` : marker,
      isTight: !parts.slice(1).some((part) => !part.isList),
    };
  };

  const list = (element, isOrdered) => {
    const start = Number.parseInt(element.getAttribute("start") ?? "", 10);
    const first = isOrdered && start >= 0 ? `${start}.` : "1.";
    // A list that stands directly in a list belongs to the item before it.
    const groups = [];
    for (const child of element.childNodes) {
      if (isDropped(child) || (child.nodeType === Node.TEXT_NODE && !child.data.trim()) || child.nodeType === Node.COMMENT_NODE) {
        continue;
      }
      const isLoose = !isElement(child) || nameOf(child) !== "li";
      if (isLoose && groups.length > 0) groups.at(-1).push(child);
      else groups.push(isLoose ? [child] : [...child.childNodes]);
    }
    const items = groups.map((nodes, index) => item(isOrdered ? (index === 0 ? first : "1.") : "-", nodes));
    const gap = items.every(({ isTight }) => isTight) ? "\n" : "\n\n";
    return block(items.map(({ text }) => text).join(gap), true);
  };

  const table = (element) => {
    const rows = [...element.rows];
    const cells = rows.map((row) => [...row.cells].map((cell) => oneLine(cell).replaceAll("|", "\\|")));
    const columns = Math.max(0, ...cells.map((row) => row.length));
    if (columns === 0) return flow([...element.childNodes].filter((child) => !isElement(child) || nameOf(child) !== "tbody"));
    const line = (row) => `| ${Array.from({ length: columns }, (_, index) => row[index] ?? "").join(" | ")} |`;
    const hasHeader =
      rows[0].parentElement.localName === "thead" || [...rows[0].cells].every((cell) => cell.localName === "th");
    const lines = cells.map(line);
    if (hasHeader) lines.splice(1, 0, `|${" --- |".repeat(columns)}`);
    const caption = element.caption ? block(oneLine(element.caption)) : [];
    return [...caption, ...block(lines.join("\n"))];
  };

  const blockOf = (element) => {
    if (isFrame(element)) return block(frameText.get(element).trim());
    const name = nameOf(element);
    switch (name) {
      case "h1":
      case "h2":
      case "h3":
      case "h4":
      case "h5":
      case "h6": {
        const text = oneLine(element);
        return block(text && `${"#".repeat(Number(name[1]))} ${text}`);
      }
      case "hr":
        return block(RULE);
      case "pre":
        return fenced(element);
      case "blockquote":
        return quote(element);
      case "ul":
      case "menu":
        return list(element, false);
      case "ol":
        return list(element, true);
      case "table":
        return table(element);
      case "tr":
        return block([...element.children].map(oneLine).filter(Boolean).join(" "));
      default:
        return flow(element.childNodes);
    }
  };

  // The blocks that a sequence of sibling nodes makes; neighbouring inline nodes make one paragraph.
  const TRANSPARENT_EXCEPTIONS = new Set(["a", "b", "strong", "i", "em", "u", "code", "tt", "del", "s", "strike"]);
  const flow = (nodes) => {
    const blocks = [];
    let run = "";
    const flush = () => {
      blocks.push(...block(paragraph(run)));
      run = "";
    };
    for (const node of nodes) {
      if (isDropped(node)) continue;
      if (isBlock(node)) {
        flush();
        blocks.push(...blockOf(node));
      } else if (isElement(node) && !TRANSPARENT_EXCEPTIONS.has(nameOf(node)) && holdsBlock(node)) {
        flush();
        blocks.push(...flow(node.childNodes));
      } else {
        run += inline(node, {});
      }
    }
    flush();
    return blocks;
  };

  const text = flow([root])
    .map((part) => part.text)
    .join("\n\n");
  return text ? `${text}\n` : "";
}
