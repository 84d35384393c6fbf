"""The house colours of diagrams, on light and on dark pages.

A diagram brings its own paper: where a notebook's theme and the browser's preference disagree, it is a light card on a
dark page, and readable. An image is a document of its own, so the style stands inside it.
"""

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

# tone -> (line and text, fill); the rest is (paper, ink, muted)
LIGHT = {
    "blue": ("#1d5a9c", "#dbe9f6"),
    "orange": ("#9a4a00", "#fde8cc"),
    "green": ("#17692f", "#d9eeda"),
    "purple": ("#6c2a7a", "#ecdff1"),
    "red": ("#a81c26", "#fbdedb"),
    "grey": ("#55606b", "#eceff2"),
}
DARK = {
    "blue": ("#8abdf0", "#1b3450"),
    "orange": ("#f3b06a", "#463012"),
    "green": ("#86d295", "#163a21"),
    "purple": ("#d4a8e3", "#3a2444"),
    "red": ("#f39b92", "#4b1f1e"),
    "grey": ("#aab4be", "#2a3138"),
}
LIGHT_PAGE = ("#ffffff", "#1c232b", "#55606b")
DARK_PAGE = ("#161b21", "#e8ebee", "#aab4be")
TONES = tuple(LIGHT)


def stylesheet() -> str:
    """The rules of a diagram: light ones, and dark ones where the reader prefers them."""
    light, dark = _rules(LIGHT_PAGE, LIGHT), _rules(DARK_PAGE, DARK)
    return f"text{{font-family:{FONT}}}\n{light}\n@media (prefers-color-scheme:dark){{\n{dark}\n}}"


def _rules(page: tuple[str, str, str], tones: dict[str, tuple[str, str]]) -> str:
    paper, ink, muted = page
    rules = [f".paper{{fill:{paper}}}", f".ink{{fill:{ink}}}", f".muted{{fill:{muted}}}", f".rule{{stroke:{muted}}}"]
    for tone, (line, fill) in tones.items():
        rules += [f".line-{tone}{{stroke:{line}}}", f".ink-{tone}{{fill:{line}}}", f".fill-{tone}{{fill:{fill}}}"]
    return "\n".join(rules)
