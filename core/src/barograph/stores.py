"""Finding the store that a configuration names, among those that plugins bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barograph.contracts import Store, StoreError

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.plugins import PluginManager


def find_store(config: Config, plugins: PluginManager) -> Store:
    """The store named in ``[storage] store``, not opened. ``plugins`` must have loaded ``config``.

    Raises StoreError with the names there are.
    """
    wanted = config.storage.store
    found = plugins.call("barograph_stores", data_dir=config.monitor.directory)
    for _, store in found:
        if store.name == wanted:
            return store  # type: ignore[no-any-return]
    names = ", ".join(sorted(s.name for _, s in found)) or "none"
    why = "; ".join(f"{p.where}: {p.what}" for p in plugins.problems)
    raise StoreError(
        f'no store is named "{wanted}"; installed: {names}' + (f" ({why})" if why else "")
    )
