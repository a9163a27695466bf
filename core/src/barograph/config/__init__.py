"""Configuration: units, the schema, loading and its errors."""

from barograph.config.errors import ConfigErrors, Mistake
from barograph.config.schema import (
    Config,
    MonitorConfig,
    PluginSettings,
    RollupConfig,
    ServerConfig,
    StorageConfig,
    option,
    options,
)
from barograph.config.units import Duration, Size

__all__ = [
    "Config",
    "ConfigErrors",
    "Duration",
    "Mistake",
    "MonitorConfig",
    "PluginSettings",
    "RollupConfig",
    "ServerConfig",
    "Size",
    "StorageConfig",
    "load_config",
    "option",
    "options",
]


def __getattr__(name: str) -> object:
    if name == "load_config":  # cattrs and tomli: only when a configuration is read
        from barograph.config.load import load_config

        return load_config
    raise AttributeError(name)
