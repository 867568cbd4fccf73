"""sanitize_html: HTML made smaller for reading. Pure. It is no protection against hostile HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

DEFAULT_PRESERVED_ATTRIBUTES = ("class", "src")
DEFAULT_PRESERVED_EMPTY_TAGS = ("img",)
VOID_ELEMENTS = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split(),
)
# Elements whose text is not markup and is written as it is.
RAW_TEXT_ELEMENTS = frozenset({"script", "style"})


def sanitize_html(
    html: str,
    *,
    remove_scripts: bool = True,
    remove_styles: bool = True,
    remove_svgs: bool = True,
    remove_comments: bool = True,
    remove_long_attributes: bool = True,
    max_attribute_length: int = 500,
    preserve_attributes: Sequence[str] | None = None,
    remove_empty_tags: bool = True,
    preserve_empty_tags: Sequence[str] | None = None,
    minify_whitespace: bool = True,
) -> str:
    """The HTML without what the flags name.

    `remove_long_attributes` removes every `style` attribute and those longer than `max_attribute_length`, except
    `preserve_attributes` (None: class and src). `remove_empty_tags` removes, in one pass in document order, elements
    without text and without elements, except `preserve_empty_tags` (None: img).
    """
    # Imported here: only those pay for the parser who use it.
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser", multi_valued_attributes=None, on_duplicate_attribute="ignore")
    dropped = {"script": remove_scripts, "style": remove_styles, "svg": remove_svgs}
    for element in soup.find_all([name for name, is_dropped in dropped.items() if is_dropped]):
        element.decompose()
    if remove_comments:
        _remove_comments(soup)
    if remove_long_attributes:
        preserved = DEFAULT_PRESERVED_ATTRIBUTES if preserve_attributes is None else preserve_attributes
        _remove_long_attributes(soup, max_attribute_length, frozenset(preserved))
    if remove_empty_tags:
        kept = DEFAULT_PRESERVED_EMPTY_TAGS if preserve_empty_tags is None else preserve_empty_tags
        _remove_empty_tags(soup, frozenset(kept))
    text = _written(soup)
    if minify_whitespace:
        text = re.sub(r"(?<=>)(?:\r?\n)+(?=<)", "", text)
        text = re.sub(r"\s+", " ", text)
    return text


def _remove_comments(soup: BeautifulSoup) -> None:
    from bs4.element import Comment

    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()


def _remove_long_attributes(soup: BeautifulSoup, max_length: int, preserved: frozenset[str]) -> None:
    for element in soup.find_all(True):
        element.attrs = {
            name: value
            for name, value in element.attrs.items()
            if name in preserved or (name != "style" and len(value) <= max_length)
        }


def _remove_empty_tags(soup: BeautifulSoup, kept: frozenset[str]) -> None:
    for element in soup.find_all(True):
        if element.name not in kept and element.find(True) is None and not element.get_text().strip():
            element.decompose()


def _written(soup: BeautifulSoup) -> str:
    from bs4.element import Tag

    pieces = []
    # Nodes to write, and the end tags between them. Not recursive: pages nest without end where end tags are missing.
    left: list[PageElement | _EndTag] = list(reversed(soup.contents))
    while left:
        node = left.pop()
        if isinstance(node, _EndTag):
            pieces.append(f"</{node.name}>")
        elif isinstance(node, Tag):
            is_void = node.name in VOID_ELEMENTS
            pieces.append(f"<{node.name}{_written_attributes(node)}{'/' if is_void else ''}>")
            if not is_void:
                left.append(_EndTag(node.name))
                left.extend(reversed(node.contents))
        else:
            pieces.append(_written_leaf(node))
    return "".join(pieces)


@dataclass(frozen=True)
class _EndTag:
    name: str


def _written_leaf(node: PageElement) -> str:
    from bs4.element import Comment, Doctype, PreformattedString

    if isinstance(node, Comment):
        return f"<!--{node}-->"
    if isinstance(node, Doctype):
        return f"<!DOCTYPE {re.sub('(?i)^doctype ', '', node)}>"
    if isinstance(node, PreformattedString):
        return f"{node.PREFIX}{node}{node.SUFFIX}"
    if node.parent is not None and node.parent.name in RAW_TEXT_ELEMENTS:
        return str(node)
    return escape(str(node), quote=False)


def _written_attributes(element: Tag) -> str:
    return "".join(
        f' {name}="{escape(str(value), quote=False).replace(chr(34), "&quot;")}"' for name, value in element.attrs.items()
    )
