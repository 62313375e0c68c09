"""List what lies in the cache, and remove what is named.

python -m bcbm.cache [remove NAME ...]

The cache is BCBM_CACHE, else the user's cache folder. It holds embedded cohorts and what was prepared of any:
tables, radiomics and crops, which are made again when they are needed, and the ledger of looks at a cohort's
test patients, which stays.
"""

from typing import TYPE_CHECKING

from bcbm.terminal.words import say

if TYPE_CHECKING:
    from rich.console import Console


def cache(words: list[str], console: "Console") -> int:
    """Print the folders of the cache, or remove those that are named.

    Raises:
        ConfigError: words that are no command.
        InputError: a name is none of a folder of the cache; nothing is removed.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bcbm.errors import ConfigError
    from bcbm.preparation.cached import cached_folders, remove_cached
    from bcbm.preparation.reading import cache_folder

    home = cache_folder()
    if words and (words[0] != "remove" or len(words) == 1):
        raise ConfigError(f"{' '.join(words)}: write nothing, or remove and the names of folders")
    before = cached_folders(home)
    if words:
        remove_cached(home, words[1:])
        freed = sum(folder.size for folder in before if folder.name in words[1:])
        say(console, f"removed {', '.join(words[1:])}: {freed / 1e9:.2f} GB")
        return 0
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("folder", "cohort", "MB", "last used"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", overflow="fold")
    for folder in before:
        table.add_row(
            folder.name, folder.cohort, f"{folder.size / 1e6:,.0f}", f"{folder.used:%Y-%m-%d %H:%M}"
        )
    console.print(table)
    say(console, f"{home}: {len(before)} folders, {sum(folder.size for folder in before) / 1e9:.2f} GB")
    return 0


def main() -> int:
    """List or clear the cache."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", cache, required=False)


if __name__ == "__main__":
    raise SystemExit(main())
