"""The toy objective as a config file, for runs in processes of their own."""

from typing import Any

from tests.train.toy import toy_config


def get_config() -> Any:
    return toy_config()
