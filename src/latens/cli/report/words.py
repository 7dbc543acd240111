"""Text of the page."""

from __future__ import annotations


def section(title: str, lead: str, *content: str) -> str:
    """A heading, a sentence for learners, and what there is to see."""
    return f"<section><h2>{title}</h2><p class=lead>{lead}</p>{''.join(content)}</section>"


def key(*entries: tuple[str, str]) -> str:
    """What colours stand for: (class of the style sheet, meaning) each."""
    return (
        "<p class=key>" + "".join(f'<span><i class="swatch {cls}"></i>{name}</span>' for cls, name in entries) + "</p>"
    )


def minus(text: str) -> str:
    """With a true minus sign."""
    return text.replace("-", "−")
