"""The screen of all commands: what is shown is text, whatever names of somebody else say, and holds no secret."""

from typing import Any

import rich.console
from rich.text import Text

from hvdcells.secrets import visible, without_secrets


class Console(rich.console.Console):
    """A console on which a name is never markup, an emoji or an escape sequence.

    Styles are given beside a text (`style=`, `rich.text.Text`), so nothing that is shown need be escaped by who shows
    it: rich makes text of strings here alone, those of tables included.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text as it is shown; see the class."""
        return super().render_str(visible(without_secrets(text)), **options)
