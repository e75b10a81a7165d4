"""Trains a codec from a config, then evaluates it.

    python -m icm_jax.main --config=configs/base_tic.py --workdir=runs/base_tic
    python -m icm_jax.main --config=configs/tic_lite.py --config.data.folder=photos --workdir=runs/lite

Run the same command again to continue an interrupted run.
"""

import errno
import re
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from icm_jax.errors import IcmError

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file, optionally with :argument.", lock_config=True
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, logs, exported codecs and results.")


def main(argv: list[str]) -> None:
    """Entry point behind absl's flags."""
    from icm_jax.host_memory import keep_freed_memory  # after the flags: `--help` needs no JAX
    from icm_jax.train.distributed import join, lost_peer
    from icm_jax.train.loop import train
    from icm_jax.train.preemption import Preempted

    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options begin with --")
    keep_freed_memory()
    logging.set_verbosity(logging.WARNING)  # Orbax reports every file it touches
    try:
        join()
        train(CONFIG.value, WORKDIR.value)
    except Preempted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    except IcmError as error:
        sys.exit(f"icm: {error}")
    except (OSError, RuntimeError) as error:  # of JAX, of Orbax, of a file written in passing
        if (message := lost_peer(error) or _full_disk(error)) is None:
            raise
        sys.exit(f"icm: {message}")


def _full_disk(error: Exception) -> str | None:
    """One line for a file that found no space; None for other errors. Checkpoints say more themselves."""
    if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
        return None
    from icm_jax.train.checkpoint import saved_steps, what_is_kept

    kept = what_is_kept(saved_steps(Path(WORKDIR.value)))
    return f"{WORKDIR.value} is full ({error}); {kept}. Free space there and run the same command again"


def run() -> None:
    """Console entry point."""
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=_parse_flags)


def _parse_flags(argv: list[str]) -> list[str]:
    """Flags of a command line; a config that is not there and a key that it does not have are one line each."""
    try:
        rest = flags.FLAGS(argv)
        CONFIG.value.keys()  # a file that could not be read says so at its first use
        return rest
    except (AttributeError, KeyError, TypeError) as error:
        keys = ", ".join(arg.split("=")[0] for arg in argv if arg.startswith("--config."))
        near = re.search(r'Did you mean "(.+?)"', str(error))  # several lines, quoted twice
        reason = f"; did you mean {near[1]!r}?" if near else f" ({error})"
        sys.exit(f"icm: one of {keys} is no key of this config, or its value has another type{reason}")
    except OSError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        sys.exit(f"icm: --config can not be read ({reason}); give a file such as configs/base_tic.py")
    except IcmError as error:  # of the config file, such as a variant that it does not have
        sys.exit(f"icm: {error}")
    except flags.Error as error:
        sys.exit(f"icm: {error}; --help lists the options")


if __name__ == "__main__":
    run()
